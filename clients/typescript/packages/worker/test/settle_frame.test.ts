import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { expect, test } from "vitest";

import { LeaseRequestSchema, SettleItemSchema, SettleSchema, type Settle } from "../../client/src/proto.js";
import { settleFrame } from "../src/settle_frame.js";

/** What a server reads of it. */
function told(frame: ReturnType<typeof settleFrame>): Settle {
  const read = fromBinary(LeaseRequestSchema, toBinary(LeaseRequestSchema, frame));
  if (read.frame.case !== "settle") throw new Error(`a server reads ${String(read.frame.case)}`);
  return read.frame.value;
}

test("completions are told by their attempts, in order", () => {
  const frame = settleFrame(
    [],
    new Map([
      [1, ["job-1", "", "job-ž"]],
      [300, ["job-2"]],
    ]),
  );

  expect(told(frame)).toEqual(
    create(SettleSchema, {
      completed: [
        { attempt: 1, jobIds: ["job-1", "", "job-ž"] },
        { attempt: 300, jobIds: ["job-2"] },
      ],
    }),
  );
});

test("other outcomes go along in the long form", () => {
  const item = create(SettleItemSchema, { jobId: "job-1", attempt: 2, outcome: { case: "cancelled", value: {} } });

  expect(told(settleFrame([item], new Map([[1, ["job-2"]]])))).toEqual(
    create(SettleSchema, { items: [item], completed: [{ attempt: 1, jobIds: ["job-2"] }] }),
  );
});

test("an id may be longer than a byte can say", () => {
  const ids = ["job-1", "j".repeat(127), "ž".repeat(100), "job-2"];

  expect(told(settleFrame([], new Map([[1, ids]]))).completed[0]?.jobIds).toEqual(ids);
});

test("numbers of the frame stay beside its outcomes", () => {
  const frame = settleFrame([], new Map([[1, ["job-1"]]]));
  frame.seq = 7n;
  frame.startedSeq = 9n;

  expect(fromBinary(LeaseRequestSchema, toBinary(LeaseRequestSchema, frame))).toMatchObject({
    seq: 7n,
    startedSeq: 9n,
  });
});
