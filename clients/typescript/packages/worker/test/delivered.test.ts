import { create, toBinary } from "@bufbuild/protobuf";
import { durationFromMs } from "@bufbuild/protobuf/wkt";
import { expect, test } from "vitest";

import { leased } from "../../../testing/fake_leases.js";
import { DeliverSchema, LeasedJobSchema, type LeasedJob } from "../../client/src/proto.js";
import { readDeliver } from "../src/delivered.js";

const deliver = (...items: LeasedJob[]): Uint8Array => toBinary(DeliverSchema, create(DeliverSchema, { items }));

test("jobs are read in order, with what every run needs and the whole message", () => {
  const first = leased("greet", { name: "Žofie" });
  const second = create(LeasedJobSchema, {
    jobId: "job-ž",
    attempt: 300,
    failures: 2,
    maxRetries: 4,
    checkpoint: new Uint8Array([1]),
    runTimeout: durationFromMs(1500),
    spec: { kind: "pošli", queue: "main", payload: new Uint8Array([7, 8]), contentType: "x/y", headers: { a: "b" } },
  });

  const jobs = readDeliver(deliver(first, second, first));

  expect(
    jobs.map(({ jobId, attempt, kind, contentType, runTimeout }) => [jobId, attempt, kind, contentType, runTimeout]),
  ).toEqual([
    [first.jobId, 1, "greet", "", 300],
    ["job-ž", 300, "pošli", "x/y", 1.5],
    [first.jobId, 1, "greet", "", 300],
  ]);
  expect(jobs.map(({ payload }) => [...payload])).toEqual(
    [first, second, first].map(({ spec }) => [...(spec?.payload ?? [])]),
  );
  expect(jobs.map(({ message }) => message)).toEqual([first, second, first]);
});

test("a job that says nothing is empty", () => {
  const [job] = readDeliver(deliver(create(LeasedJobSchema)));

  expect(job).toMatchObject({ jobId: "", attempt: 0, kind: "", contentType: "", runTimeout: 0 });
  expect(job?.payload).toHaveLength(0);
});

test("fields of a later version are passed over", () => {
  const job = leased("greet");
  job.$unknown = [{ no: 40, wireType: 2, data: new Uint8Array([2, 8, 8]) }];
  if (job.spec !== undefined) job.spec.$unknown = [{ no: 3000, wireType: 0, data: new Uint8Array([0x96, 1]) }];

  expect(readDeliver(deliver(job))).toMatchObject([{ jobId: job.jobId, kind: "greet", runTimeout: 300 }]);
});

test("a delivery that is cut off is refused", () => {
  const whole = deliver(leased("greet", "data"));

  for (let length = 1; length < whole.length; length += 1) {
    expect(() => readDeliver(whole.subarray(0, length))).toThrow(RangeError);
  }
});
