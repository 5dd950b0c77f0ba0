import { create, toBinary } from "@bufbuild/protobuf";
import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import {
  CompletedGroupSchema,
  LeaseRequestSchema,
  SettleSchema,
  type LeaseRequest,
  type SettleItem,
} from "@protojobs/client/proto";

const { settle: SETTLE } = LeaseRequestSchema.field;
const { field: FIELD } = SettleSchema;
const { field: GROUP } = CompletedGroupSchema;
const ID_TAG = (GROUP.jobIds.number << 3) | WireType.LengthDelimited;
// Of a number that has one byte on the wire.
const SHORT = 127;
const MOST_BYTES_OF_A_CHARACTER = 3;

/**
 * Builds a frame of outcomes, of which `completed` are told by their attempts. The bytes are made here and go along as a
 * field that the message does not know: a message would encode each id by itself.
 */
export function settleFrame(
  items: readonly SettleItem[],
  completed: ReadonlyMap<number, readonly string[]>,
): LeaseRequest {
  const writer = new BinaryWriter();
  if (items.length > 0) writer.raw(toBinary(SettleSchema, create(SettleSchema, { items: [...items] })));
  for (const [attempt, jobIds] of completed) {
    writer.tag(FIELD.completed.number, WireType.LengthDelimited).fork();
    writer.tag(GROUP.attempt.number, WireType.Varint).uint32(attempt);
    writer.raw(fieldOf(jobIds)).join();
  }
  const frame = create(LeaseRequestSchema);
  const data = new BinaryWriter().bytes(writer.finish()).finish();
  frame.$unknown = [{ no: SETTLE.number, wireType: WireType.LengthDelimited, data }];
  return frame;
}

/** Returns the repeated field of ids. */
function fieldOf(jobIds: readonly string[]): Uint8Array {
  const room = jobIds.reduce((sum, { length }) => sum + 2 + MOST_BYTES_OF_A_CHARACTER * length, 0);
  const bytes = Buffer.allocUnsafe(room);
  let at = 0;
  for (const jobId of jobIds) {
    const length = bytes.write(jobId, at + 2);
    if (length > SHORT) return longFieldOf(jobIds);
    bytes[at] = ID_TAG;
    bytes[at + 1] = length;
    at += 2 + length;
  }
  return bytes.subarray(0, at);
}

/** Does so for ids whose length takes more than a byte, which no server of today gives. */
function longFieldOf(jobIds: readonly string[]): Uint8Array {
  const writer = new BinaryWriter();
  for (const jobId of jobIds) writer.tag(GROUP.jobIds.number, WireType.LengthDelimited).string(jobId);
  return writer.finish();
}
