import { createCipheriv, createDecipheriv, createHmac } from "node:crypto";

import { AES_256_GCM, bodyOf, corrupt, enclose, methodOf, pack, prefix, unpack } from "./envelope.js";
import { UndecodableError } from "./errors.js";
import type { Codec, Payload, PayloadContext } from "./payload.js";

/** How a codec encrypts. */
export interface EncryptOptions {
  /** Id of the key that encrypts; may be left out where there is one. */
  readonly active?: string;
  /** Default true. Without it jobs may be moved to other queues. */
  readonly bindQueue?: boolean;
  /** Refuse what is not encrypted: set it once all producers encrypt. Default false. */
  readonly required?: boolean;
}

const CIPHER = "aes-256-gcm";
const KEY_ID = /^[A-Za-z0-9._-]{1,64}$/;
const KEY_BYTES = 32;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const QUEUE_BOUND = 1;

/**
 * Encrypts and authenticates by AES-256-GCM.
 *
 * A payload is bound to its kind and queue, a result or checkpoint to its kind and job: elsewhere it does not decrypt.
 * Rotation: give all readers the new key beside the old one, then make it `active`, and drop the old one when nothing
 * that it encrypted is left. Two jobs with one payload look different; the size of a payload can be seen.
 */
export class Encrypt implements Codec {
  readonly #keys: ReadonlyMap<string, Key>;
  readonly #active: Key;
  readonly #bindQueue: boolean;
  readonly #required: boolean;

  /** @param keys 32 random bytes by an id of 1 to 64 of [A-Za-z0-9._-], which is stored in the clear. */
  constructor(keys: Readonly<Record<string, Uint8Array>>, options: EncryptOptions = {}) {
    this.#keys = new Map(Object.entries(keys).map(([id, bytes]) => [id, new Key(id, bytes)]));
    const [only, ...others] = this.#keys.values();
    if (only === undefined) throw new RangeError("at least one key is needed");
    if (options.active === undefined && others.length > 0) throw new RangeError("name the active key");
    const active = options.active === undefined ? only : this.#keys.get(options.active);
    if (active === undefined) throw new RangeError("the active key is not among the keys");
    this.#active = active;
    this.#bindQueue = options.bindQueue ?? true;
    this.#required = options.required ?? false;
  }

  /** Returns the encrypted payload. The same payload of the same job gives the same bytes. */
  encode(payload: Payload, context: PayloadContext): Payload {
    const flags = this.#bindQueue ? QUEUE_BOUND : 0;
    const id = Buffer.from(this.#active.id);
    const head = Buffer.concat([prefix(AES_256_GCM), Buffer.from([flags, id.length]), id]);
    return enclose(this.#active.encrypt(head, pack(payload), context, flags));
  }

  /** Undoes `encode`. Throws UndecodableError. */
  decode(payload: Payload, context: PayloadContext): Payload {
    if (methodOf(payload) !== AES_256_GCM) {
      if (this.#required && (payload.data.length > 0 || context.use === "payload")) {
        throw new UndecodableError("NOT_ENCRYPTED", `the ${context.use} is not encrypted`);
      }
      return payload;
    }
    const body = bodyOf(payload);
    const flags = body[0] ?? 0;
    const end = 2 + (body[1] ?? 0);
    if (body.length < end + NONCE_BYTES + TAG_BYTES || (flags & ~QUEUE_BOUND) !== 0) throw corrupt();
    const id = body.subarray(2, end).toString("latin1");
    if (!KEY_ID.test(id)) throw corrupt();
    const key = this.#keys.get(id);
    if (key === undefined) throw new UndecodableError("UNKNOWN_KEY", `there is no key ${id} here`);
    const head = Buffer.concat([prefix(AES_256_GCM), body.subarray(0, end)]);
    return unpack(key.decrypt(head, body.subarray(end), context, flags));
  }
}

/** One key: what it encrypts with, and what it makes nonces of. */
class Key {
  readonly id: string;
  readonly #cipherKey: Buffer;
  readonly #nonceKey: Buffer;

  constructor(id: string, bytes: Uint8Array) {
    if (!KEY_ID.test(id)) throw new RangeError("an id of a key is 1 to 64 of A-Z a-z 0-9 . _ -");
    if (bytes.length !== KEY_BYTES) throw new RangeError(`key ${id} must have ${String(KEY_BYTES)} bytes`);
    this.id = id;
    this.#cipherKey = expand(bytes, "protojobs.v1 encrypt");
    this.#nonceKey = expand(bytes, "protojobs.v1 nonce");
  }

  encrypt(head: Buffer, content: Buffer, context: PayloadContext, flags: number): Buffer {
    const associated = Buffer.concat([head, bound(context, flags)]);
    // Not random: a repeated dispatch must be the same bytes. Like a random one, it repeats for other content with a
    // chance of 2^-96 per pair.
    const jobId = Buffer.from(context.jobId);
    const sizes = Buffer.alloc(8);
    sizes.writeUInt32BE(associated.length, 0);
    sizes.writeUInt32BE(jobId.length, 4);
    const mac = createHmac("sha256", this.#nonceKey).update(sizes).update(associated).update(jobId).update(content);
    const nonce = mac.digest().subarray(0, NONCE_BYTES);
    const cipher = createCipheriv(CIPHER, this.#cipherKey, nonce).setAAD(associated);
    return Buffer.concat([head, nonce, cipher.update(content), cipher.final(), cipher.getAuthTag()]);
  }

  decrypt(head: Buffer, sealed: Buffer, context: PayloadContext, flags: number): Buffer {
    const nonce = sealed.subarray(0, NONCE_BYTES);
    const tag = sealed.subarray(sealed.length - TAG_BYTES);
    const decipher = createDecipheriv(CIPHER, this.#cipherKey, nonce, { authTagLength: TAG_BYTES })
      .setAAD(Buffer.concat([head, bound(context, flags)]))
      .setAuthTag(tag);
    try {
      const text = decipher.update(sealed.subarray(NONCE_BYTES, sealed.length - TAG_BYTES));
      return Buffer.concat([text, decipher.final()]);
    } catch {
      throw new UndecodableError(
        "NOT_AUTHENTIC",
        "these bytes were changed, or belong to another key, kind, queue or job",
      );
    }
  }
}

/** Returns what the bytes belong to. No name holds a line feed, so no two contexts read alike. */
function bound({ use, kind, queue, jobId }: PayloadContext, flags: number): Buffer {
  const isPayload = use === "payload";
  const boundQueue = isPayload && (flags & QUEUE_BOUND) !== 0 ? queue : "";
  return Buffer.from([use, kind, boundQueue, isPayload ? "" : jobId].join("\n"));
}

/** Returns one block of HKDF-Expand by SHA-256 (RFC 5869); the key is uniformly random, so nothing is extracted. */
function expand(key: Uint8Array, info: string): Buffer {
  return createHmac("sha256", key)
    .update(info)
    .update(Buffer.from([1]))
    .digest();
}
