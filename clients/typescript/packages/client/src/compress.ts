import { gunzipSync, gzipSync, inflateSync, deflateSync } from "node:zlib";

import { bodyOf, corrupt, enclose, GZIP, methodOf, pack, prefix, unpack, ZLIB } from "./envelope.js";
import { UndecodableError } from "./errors.js";
import type { Codec, Payload } from "./payload.js";

/** How a codec compresses. */
export interface CompressOptions {
  /** Default zlib; both are read. */
  readonly method?: "zlib" | "gzip";
  /** 1 to 9, default 6. */
  readonly level?: number;
  /** Payloads below stay as they are, default 1024. */
  readonly minBytes?: number;
  /** Most that decoding may unpack, so that no small payload fills the memory. Default 64 MiB. */
  readonly maxBytes?: number;
}

/** Encodes by its codecs in order, decodes in reverse. Compress before you encrypt: ciphertext does not shrink. */
export function chain(...codecs: readonly Codec[]): Codec {
  const reversed = [...codecs].reverse();
  return {
    encode: (payload, context) => codecs.reduce((bytes, codec) => codec.encode(bytes, context), payload),
    decode: (payload, context) => reversed.reduce((bytes, codec) => codec.decode(bytes, context), payload),
  };
}

/** Compresses what gets smaller by it, and reads zlib and gzip. */
export class Compress implements Codec {
  readonly #method: typeof ZLIB | typeof GZIP;
  readonly #level: number;
  readonly #minBytes: number;
  readonly #maxBytes: number;

  constructor({ method = "zlib", level = 6, minBytes = 1024, maxBytes = 64 * 1024 * 1024 }: CompressOptions = {}) {
    if (!(level >= 1 && level <= 9)) throw new RangeError("level is 1 to 9");
    this.#method = method === "zlib" ? ZLIB : GZIP;
    this.#level = level;
    this.#minBytes = minBytes;
    this.#maxBytes = maxBytes;
  }

  /** Returns the compressed payload, or the same one where that is no smaller. */
  encode(payload: Payload): Payload {
    if (payload.data.length < this.#minBytes) return payload;
    const content = pack(payload);
    const level = { level: this.#level };
    const small = this.#method === ZLIB ? deflateSync(content, level) : gzipSync(content, level);
    const envelope = Buffer.concat([prefix(this.#method), small]);
    return envelope.length < payload.data.length ? enclose(envelope) : payload;
  }

  /** Undoes `encode`. Throws UndecodableError. */
  decode(payload: Payload): Payload {
    const method = methodOf(payload);
    if (method !== ZLIB && method !== GZIP) return payload;
    return unpack(this.#inflate(bodyOf(payload)));
  }

  #inflate(body: Buffer): Buffer {
    const inflate = body[0] === 0x1f ? gunzipSync : inflateSync;
    try {
      const { buffer, engine } = inflate(body, { maxOutputLength: this.#maxBytes, info: true }) as unknown as Inflated;
      if (engine.bytesWritten !== body.length) throw corrupt();
      return buffer;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ERR_BUFFER_TOO_LARGE") {
        throw new UndecodableError("TOO_LARGE", `the payload unpacks to more than ${String(this.#maxBytes)} bytes`);
      }
      throw corrupt();
    }
  }
}

/** What zlib answers with `info`; its types do not tell. */
interface Inflated {
  readonly buffer: Buffer;
  readonly engine: { readonly bytesWritten: number };
}
