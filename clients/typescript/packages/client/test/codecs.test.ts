import { readFileSync } from "node:fs";

import { describe, expect, test } from "vitest";

import {
  chain,
  Compress,
  decodeData,
  encodeData,
  Encrypt,
  ENVELOPE_TYPE,
  plainCodec,
  type Codec,
  type Use,
} from "../src/index.js";

interface Encoder {
  readonly method: string;
  readonly key?: string;
  readonly bind_queue?: boolean;
}

interface Vector {
  readonly name: string;
  readonly encoders?: readonly Encoder[];
  readonly context: { readonly use: Use; readonly kind: string; readonly queue: string; readonly job_id: string };
  readonly content_type: string;
  readonly stored_content_type?: string;
  readonly data: string;
  readonly envelope: string;
  readonly reproducible?: boolean;
  readonly reason?: string;
}

interface Vectors {
  readonly keys: Readonly<Record<string, string>>;
  readonly envelopes: readonly Vector[];
  readonly refused: readonly Vector[];
}

const file = new URL("../../../../../proto/testdata/envelopes.json", import.meta.url);
const vectors = JSON.parse(readFileSync(file, "utf8")) as Vectors;
const keys = Object.fromEntries(Object.entries(vectors.keys).map(([id, hex]) => [id, Buffer.from(hex, "hex")]));
const reader = chain(new Compress(), new Encrypt(keys, { active: "2026-11" }));

function contextOf({ context }: Vector): { use: Use; kind: string; queue: string; jobId: string } {
  return { use: context.use, kind: context.kind, queue: context.queue, jobId: context.job_id };
}

function codecOf({ method, key, bind_queue: bindQueue }: Encoder): Codec {
  if (method === "aes-256-gcm") return new Encrypt(keys, { active: key ?? "", bindQueue: bindQueue ?? true });
  return new Compress({ method: method === "gzip" ? "gzip" : "zlib", minBytes: 0 });
}

describe("envelopes of the contract", () => {
  test.each(vectors.envelopes)("are read: $name", (vector) => {
    const stored = { data: Buffer.from(vector.envelope, "hex"), contentType: storedType(vector) };

    const plain = reader.decode(stored, contextOf(vector));

    expect(Buffer.from(plain.data).toString("hex")).toBe(vector.data);
    expect(plain.contentType).toBe(vector.content_type);
  });

  test.each(vectors.envelopes.filter((vector) => vector.reproducible))("are made byte by byte: $name", (vector) => {
    const codec = chain(...(vector.encoders ?? []).map(codecOf));

    const stored = codec.encode(
      { data: Buffer.from(vector.data, "hex"), contentType: vector.content_type },
      contextOf(vector),
    );

    expect(Buffer.from(stored.data).toString("hex")).toBe(vector.envelope);
    expect(stored.contentType).toBe(ENVELOPE_TYPE);
  });

  test.each(vectors.refused)("are refused for their reason: $name", (vector) => {
    const stored = { data: Buffer.from(vector.envelope, "hex"), contentType: storedType(vector) };

    expect(() => reader.decode(stored, contextOf(vector))).toThrow(
      expect.objectContaining({ reason: vector.reason }) as Error,
    );
  });
});

function storedType(vector: Vector): string {
  return vector.context.use === "payload" ? ENVELOPE_TYPE : "application/json";
}

describe("data", () => {
  test("becomes JSON and comes back", () => {
    const payload = encodeData({ to: "žluť" });

    expect(payload.contentType).toBe("application/json");
    expect(decodeData(payload)).toEqual({ to: "žluť" });
  });

  test("of other media types stays bytes, and needs to say what it is", () => {
    const bytes = Uint8Array.of(0, 255);

    expect(decodeData(encodeData(bytes, "image/png"))).toBe(bytes);
    expect(() => encodeData(bytes)).toThrow("bytes need a contentType");
    expect(() => encodeData("text", "text/plain")).toThrow(TypeError);
    expect(() => encodeData(() => 1)).toThrow("function is not JSON");
  });

  test("that cannot be read does not appear in the error", () => {
    const secret = { data: Buffer.from("{secret"), contentType: "application/json" };

    expect(() => decodeData(secret)).toThrow(/^the payload is not JSON$/);
  });

  test("of a codec that is not here is an error", () => {
    const sealed = new Encrypt({ k: Buffer.alloc(32) }).encode(encodeData(1), {
      use: "payload",
      kind: "k",
      queue: "q",
      jobId: "",
    });

    expect(() => decodeData(plainCodec.decode(sealed, { use: "payload", kind: "k", queue: "q", jobId: "" }))).toThrow(
      "NO_CODEC",
    );
  });
});
