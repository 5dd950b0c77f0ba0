import { fromBinary } from "@bufbuild/protobuf";
import { BinaryReader } from "@bufbuild/protobuf/wire";
import type { RawFrame } from "@protojobs/client/connecting";
import { LeaseResponseSchema, type LeaseResponse } from "@protojobs/client/proto";

import { readDeliver, type DeliveredJob } from "./delivered.js";
import { readSettled, type Settled } from "./settled.js";

type Told = Exclude<LeaseResponse["frame"], { case: "deliver" | "settled" }>;

/** A frame of the server. */
export interface Incoming {
  readonly seq: bigint;
  readonly receivedSeq: bigint;
  readonly frame:
    | Told
    | { readonly case: "deliver"; readonly value: readonly DeliveredJob[] }
    | { readonly case: "settled"; readonly value: Settled };
}

const { seq: SEQ, receivedSeq: RECEIVED_SEQ, deliver: DELIVER, settled: SETTLED } = LeaseResponseSchema.field;

/** Reads a frame as it came; of a later version's, what this one knows. Throws where it is malformed. */
export function readIncoming({ $unknown = [] }: RawFrame): Incoming {
  let seq = 0n;
  let receivedSeq = 0n;
  let frame: Incoming["frame"] = { case: undefined };
  for (const { no, data } of $unknown) {
    const reader = new BinaryReader(data);
    if (no === SEQ.number) seq = BigInt(reader.uint64());
    else if (no === RECEIVED_SEQ.number) receivedSeq = BigInt(reader.uint64());
    else if (no === DELIVER.number) frame = { case: "deliver", value: readDeliver(reader.bytes()) };
    else if (no === SETTLED.number) frame = { case: "settled", value: readSettled(reader.bytes()) };
    else frame = readTold(no, reader) ?? frame;
  }
  return { seq, receivedSeq, frame };
}

function readTold(number: number, reader: BinaryReader): Told | undefined {
  const field = LeaseResponseSchema.oneofs[0]?.fields.find((each) => each.number === number);
  if (field?.message === undefined) return undefined;
  // Case and message are of one field, which the compiler cannot see.
  return { case: field.localName, value: fromBinary(field.message, reader.bytes()) } as Told;
}
