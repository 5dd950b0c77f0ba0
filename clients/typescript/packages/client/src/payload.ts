import { UndecodableError } from "./errors.js";

/** Media type of JSON. */
export const JSON_TYPE = "application/json";
/** Media type of what a codec has made: see docs/protocol.md, Envelopes. */
export const ENVELOPE_TYPE = "application/vnd.protojobs.envelope";

/** Bytes and their media type. */
export interface Payload {
  readonly data: Uint8Array;
  readonly contentType: string;
}

/** What bytes are for. */
export type Use = "payload" | "result" | "checkpoint";

/** Whose bytes they are, so that a codec may bind them to it. */
export interface PayloadContext {
  readonly kind: string;
  readonly queue: string;
  readonly use: Use;
  /** Empty for the payload of a schedule, whose jobs get their ids from the server. */
  readonly jobId: string;
}

/**
 * Changes payloads, results and checkpoints on their way to the server and back, for example to encrypt them.
 *
 * The same input gives the same output, or a repeated dispatch of one id would look like another job. Results and
 * checkpoints have no stored media type: they reach `decode` as `application/json`.
 */
export interface Codec {
  /** Returns what the server stores. */
  encode(payload: Payload, context: PayloadContext): Payload;
  /**
   * Undoes `encode`; what it has not made passes unchanged.
   *
   * @throws UndecodableError, which never holds any of the bytes.
   */
  decode(payload: Payload, context: PayloadContext): Payload;
}

/** Leaves payloads as they are. */
export const plainCodec: Codec = {
  encode: (payload) => payload,
  decode: (payload) => payload,
};

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/**
 * Turns data into bytes: JSON by default (undefined is `null`), bytes as they are if `contentType` says what they are.
 *
 * @throws TypeError for data that is not JSON, and for bytes without a content type.
 */
export function encodeData(data: unknown, contentType?: string): Payload {
  if (data instanceof Uint8Array) {
    if (contentType === undefined) throw new TypeError("bytes need a contentType");
    return { data, contentType };
  }
  if (contentType !== undefined && !isJson(contentType)) {
    throw new TypeError(`data for ${contentType} must be a Uint8Array`);
  }
  const text = JSON.stringify(data ?? null) as string | undefined;
  if (text === undefined) throw new TypeError(`${typeof data} is not JSON; pass bytes and a contentType instead`);
  return { data: encoder.encode(text), contentType: contentType ?? JSON_TYPE };
}

/**
 * Turns bytes into data: JSON is parsed (no bytes are null), text decoded, anything else stays bytes.
 *
 * @throws SyntaxError or TypeError for bytes that are not what `contentType` says, UndecodableError for those of a codec.
 */
export function decodeData({ data, contentType }: Payload): unknown {
  if (isJson(contentType || JSON_TYPE)) return data.length === 0 ? null : parseJson(data);
  if (contentType.startsWith("text/")) return decoder.decode(data);
  if (contentType === ENVELOPE_TYPE) {
    throw new UndecodableError("NO_CODEC", "a codec made these bytes, and none here reads them");
  }
  return data;
}

function parseJson(data: Uint8Array): unknown {
  const text = decoder.decode(data);
  try {
    return JSON.parse(text) as unknown;
  } catch {
    // The engine's own message quotes the text, and would end up in logs and in the stored error.
    throw new SyntaxError("the payload is not JSON");
  }
}

/** Tells JSON media types (RFC 6839) from others, whatever their parameters. */
function isJson(contentType: string): boolean {
  const mediaType = (contentType.split(";", 1)[0] ?? "").trim().toLowerCase();
  return mediaType === JSON_TYPE || mediaType.endsWith("+json");
}
