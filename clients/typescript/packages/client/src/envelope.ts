/*
 * The envelope around bytes that a codec has made. docs/protocol.md is its definition; these are the layouts.
 *
 *   envelope    magic(4) = F5 50 4A 01 | method(1) | what the method makes of `content`
 *   content     length(1) | media type | data
 *
 * The first byte is in no UTF-8 text, so no JSON and no text is taken for an envelope.
 */
import { UndecodableError } from "./errors.js";
import { ENVELOPE_TYPE, JSON_TYPE, type Payload } from "./payload.js";

export const ZLIB = 1;
export const GZIP = 2;
export const AES_256_GCM = 3;

const MAGIC = Buffer.from([0xf5, 0x50, 0x4a, 0x01]);
const PREFIX_BYTES = MAGIC.length + 1;

/** Puts media type and data together. Throws RangeError for a media type of more than 255 bytes. */
export function pack({ data, contentType }: Payload): Buffer {
  const mediaType = Buffer.from(contentType);
  if (mediaType.length > 255) throw new RangeError("a media type has at most 128 bytes");
  return Buffer.concat([Buffer.from([mediaType.length]), mediaType, data]);
}

/** Undoes `pack`. Throws UndecodableError. */
export function unpack(content: Buffer): Payload {
  const end = 1 + (content[0] ?? 0);
  if (content.length < end) throw corrupt();
  try {
    const contentType = new TextDecoder("utf-8", { fatal: true }).decode(content.subarray(1, end));
    return { data: content.subarray(end), contentType };
  } catch {
    throw corrupt();
  }
}

/** Returns how an envelope of this method begins. */
export function prefix(method: number): Buffer {
  return Buffer.concat([MAGIC, Buffer.from([method])]);
}

/** Returns the payload that the server stores. */
export function enclose(envelope: Uint8Array): Payload {
  return { data: envelope, contentType: ENVELOPE_TYPE };
}

/**
 * Returns the method of an envelope; undefined for everything else. Throws UndecodableError for a broken one.
 *
 * The media type tells. Results and checkpoints come as JSON, which no envelope is: there the first bytes tell.
 */
export function methodOf({ data, contentType }: Payload): number | undefined {
  const begins = data.length >= PREFIX_BYTES && MAGIC.equals(data.subarray(0, MAGIC.length));
  if (begins && [ENVELOPE_TYPE, JSON_TYPE, ""].includes(contentType)) return data[PREFIX_BYTES - 1];
  if (contentType === ENVELOPE_TYPE) throw corrupt();
  return undefined;
}

/** Returns what follows the method. */
export function bodyOf({ data }: Payload): Buffer {
  return Buffer.from(data.buffer, data.byteOffset, data.byteLength).subarray(PREFIX_BYTES);
}

/** Returns the error of bytes that break the layout. */
export function corrupt(): UndecodableError {
  return new UndecodableError("CORRUPT", "the envelope is damaged");
}
