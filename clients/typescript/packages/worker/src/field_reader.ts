import { BinaryReader, WireType } from "@bufbuild/protobuf/wire";

/** Reads messages field by field, without making them: what comes with every job is read by these. */
export class FieldReader {
  protected readonly bytes: Uint8Array;
  protected readonly reader: BinaryReader;
  readonly #text: Buffer;

  constructor(bytes: Uint8Array) {
    this.bytes = bytes;
    this.reader = new BinaryReader(bytes);
    this.#text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  }

  /** Where the outermost message ends. */
  protected get length(): number {
    return this.reader.len;
  }

  /** Goes through the fields up to `end`; what `read` does not take is of no interest here. Throws RangeError. */
  protected fields(end: number, read: (field: number) => boolean): void {
    const { reader } = this;
    while (reader.pos < end) {
      const [field, type] = reader.tag();
      if (read(field)) continue;
      if (type === WireType.LengthDelimited) reader.pos = this.end();
      else reader.skip(type, field);
    }
    if (reader.pos !== end) throw new RangeError("a field passes the end of its message");
  }

  /** Reads a length; returns where what has it ends. Throws RangeError. */
  protected end(): number {
    const length = this.reader.uint32();
    const end = this.reader.pos + length;
    if (end > this.reader.len) throw new RangeError("premature EOF");
    return end;
  }

  /** Reads a text; `likely` spares the making of another one like it. Throws RangeError. */
  protected text(likely = ""): string {
    const end = this.end();
    const start = this.reader.pos;
    this.reader.pos = end;
    return isText(this.bytes, start, end, likely) ? likely : this.#text.toString("utf8", start, end);
  }
}

/** Tells whether bytes are just this ASCII text. */
function isText(bytes: Uint8Array, start: number, end: number, text: string): boolean {
  if (end - start !== text.length) return false;
  for (let at = 0; at < text.length; at += 1) {
    const code = text.charCodeAt(at);
    if (code > 127 || bytes[start + at] !== code) return false;
  }
  return true;
}
