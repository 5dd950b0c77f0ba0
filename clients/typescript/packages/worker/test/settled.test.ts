import { create, toBinary } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { expect, test } from "vitest";

import { JobState, SettleCode, SettledItemSchema, SettledSchema } from "../../client/src/proto.js";
import { readSettled } from "../src/settled.js";

const item = create(SettledItemSchema, {
  jobId: "job-ž",
  attempt: 300,
  code: SettleCode.OK,
  nextState: JobState.RETRYING,
  nextTime: timestampFromMs(1500),
});

test("what became of jobs is read as it was told", () => {
  const settled = create(SettledSchema, {
    items: [item],
    groups: [
      { attempt: 1, code: SettleCode.OK, nextState: JobState.COMPLETED, jobIds: ["job-1", "job-ž", ""] },
      { attempt: 300, code: SettleCode.RETRY_LATER, jobIds: ["job-2"] },
    ],
    updates: [{ jobId: "job-3", code: SettleCode.INVALID, message: "ratio" }],
  });

  const { items, groups, updates } = readSettled(toBinary(SettledSchema, settled));

  expect(items).toEqual([item]);
  expect(groups).toEqual([
    { attempt: 1, code: SettleCode.OK, nextState: JobState.COMPLETED, jobIds: ["job-1", "job-ž", ""] },
    { attempt: 300, code: SettleCode.RETRY_LATER, nextState: JobState.UNSPECIFIED, jobIds: ["job-2"] },
  ]);
  expect(updates).toMatchObject([{ jobId: "job-3", code: SettleCode.INVALID, message: "ratio" }]);
});

test("fields and states of a later version are passed over", () => {
  const settled = create(SettledSchema, { groups: [{ attempt: 1, nextState: 77 as JobState, jobIds: ["job-1"] }] });
  settled.$unknown = [{ no: 40, wireType: 2, data: new Uint8Array([2, 8, 8]) }];
  for (const group of settled.groups) group.$unknown = [{ no: 3000, wireType: 0, data: new Uint8Array([0x96, 1]) }];

  expect(readSettled(toBinary(SettledSchema, settled)).groups).toEqual([
    { attempt: 1, code: SettleCode.UNSPECIFIED, nextState: 77, jobIds: ["job-1"] },
  ]);
});

test.each([
  ["jobs", { groups: [{ attempt: 1, code: SettleCode.OK, jobIds: ["job-1", "job-2"] }] }],
  ["a job", { items: [item] }],
])("news of %s that are cut off are refused", (_, told) => {
  const bytes = toBinary(SettledSchema, create(SettledSchema, told));

  for (let length = 1; length < bytes.length; length += 1) {
    expect(() => readSettled(bytes.subarray(0, length))).toThrow(RangeError);
  }
});
