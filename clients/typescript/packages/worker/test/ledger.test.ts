import { beforeEach, describe, expect, test } from "vitest";

import { Ledger, type Lease } from "../src/ledger.js";
import { CANCELLED, COMPLETED, failedWith } from "../src/outcomes.js";

type TestLease = Lease<string, never>;

let ledger: Ledger<string, never>;

const jobs = (...ids: string[]): { jobId: string; attempt: number; job: string }[] =>
  ids.map((jobId) => ({ jobId, attempt: 1, job: jobId }));
const idsOf = (leases: readonly TestLease[]): string[] => leases.map(({ jobId }) => jobId);

beforeEach(() => {
  ledger = new Ledger();
  ledger.openStream(1);
});

describe("handlers", () => {
  test("begin in the order of delivery, as many as there is room for", () => {
    ledger.deliver(jobs("a", "b", "c"));

    expect(idsOf(ledger.begin(2, 5))).toEqual(["a", "b"]);
    expect([ledger.begun, ledger.running, ledger.waiting]).toEqual([2, 2, 1]);
    expect(ledger.get("a", 1)?.beganAt).toBe(5);
  });

  test("whose frame was lost wait again, in their order", () => {
    ledger.deliver(jobs("a", "b", "c"));
    ledger.putBack(ledger.begin(2, 0));

    expect([ledger.running, ledger.waiting]).toEqual([0, 3]);
    expect(idsOf(ledger.begin(3, 0))).toEqual(["a", "b", "c"]);
  });

  test("of a job that is cancelled while it waits never begin, but keep its place in the count", () => {
    ledger.deliver(jobs("a", "b"));
    ledger.cancel("a", 1, CANCELLED);

    expect(idsOf(ledger.begin(2, 0))).toEqual(["b"]);
    expect(ledger.begun).toBe(2);
    expect(idsOf(ledger.takeUnsent(10, 1000))).toEqual(["a"]);
  });

  test("of a job that was delivered twice begin once, and both deliveries count", () => {
    ledger.deliver(jobs("a"));
    ledger.deliver(jobs("a", "b"));

    expect(idsOf(ledger.begin(5, 0))).toEqual(["a", "b"]);
    expect(ledger.begun).toBe(3);
  });

  test("of an attempt that a newer one supersedes are to be stopped, and their outcome is dropped", () => {
    ledger.deliver(jobs("a"));
    const [old] = ledger.begin(1, 0);
    const superseded = ledger.deliver([{ jobId: "a", attempt: 2, job: "a" }]);

    expect(superseded).toEqual([old]);
    expect(old && ledger.end(old, COMPLETED)).toBe(false);
    expect([ledger.running, ledger.size, ledger.unsent]).toEqual([0, 1, 0]);
  });
});

describe("outcomes", () => {
  function end(id: string): void {
    ledger.deliver(jobs(id));
    const [lease] = ledger.begin(1, 0);
    if (lease !== undefined) ledger.end(lease, COMPLETED);
  }

  test("go out again on every stream until they are answered", () => {
    end("a");
    expect(idsOf(ledger.takeUnsent(10, 1000))).toEqual(["a"]);
    expect(idsOf(ledger.takeUnsent(10, 1000))).toEqual([]);

    ledger.openStream(2);
    expect(idsOf(ledger.takeUnsent(10, 1000))).toEqual(["a"]);
    ledger.settled("a", 1);

    ledger.openStream(3);
    expect(idsOf(ledger.takeUnsent(10, 1000))).toEqual([]);
    expect(ledger.idle).toBe(true);
  });

  test("that were not stored go out again once their time has come", () => {
    end("a");
    const [lease] = ledger.takeUnsent(10, 1000);
    if (lease !== undefined) ledger.retryLater(lease, 7);

    expect(ledger.revive(6)).toBe(false);
    expect(ledger.revive(7)).toBe(true);
    expect(idsOf(ledger.takeUnsent(10, 1000))).toEqual(["a"]);
  });

  test("that are refused become a plain failure, and are given up after two more refusals", () => {
    end("a");
    const [lease] = ledger.takeUnsent(10, 1000);
    if (lease === undefined) throw new TypeError("nothing was taken");

    expect(ledger.refuse(lease, "too long")).toBe(true);
    expect(lease.outcome).toMatchObject({ kind: "failed", retryable: false, error: { message: "too long" } });
    expect(ledger.refuse(lease, "again")).toBe(true);
    expect(ledger.refuse(lease, "again")).toBe(false);
    expect(ledger.size).toBe(0);
  });

  test("fill a frame up to its bounds, and one that is too large goes alone", () => {
    ledger.deliver(jobs("a", "b", "c"));
    for (const lease of ledger.begin(3, 0)) ledger.end(lease, failedWith("E", "x".repeat(100), true));

    expect(idsOf(ledger.takeUnsent(2, 1_000_000))).toEqual(["a", "b"]);
    expect(idsOf(ledger.takeUnsent(10, 1))).toEqual(["c"]);
  });
});

describe("a new stream", () => {
  test("counts what begins on it from nothing, whatever waited before", () => {
    ledger.deliver(jobs("a", "b"));
    ledger.begin(1, 0);
    ledger.openStream(2);
    ledger.resume(jobs("a", "b"));
    ledger.deliver(jobs("c"));

    expect(idsOf(ledger.begin(5, 0))).toEqual(["b", "c"]);
    expect(ledger.begun).toBe(1);
  });

  test("keeps what the server kept: lost ones that run are to be stopped, that wait are dropped, outcomes stay", () => {
    ledger.deliver(jobs("runs", "ended", "waits", "kept"));
    const [runs, ended] = ledger.begin(2, 0);
    if (ended !== undefined) ledger.end(ended, COMPLETED);
    ledger.openStream(2);

    expect(ledger.resume(jobs("kept"))).toEqual([runs]);
    expect([...ledger.leases()].map(({ jobId }) => jobId)).toEqual(["ended", "kept"]);
    expect(idsOf(ledger.begin(5, 0))).toEqual(["kept"]);
  });

  test("of a new session begins with nothing", () => {
    ledger.deliver(jobs("runs", "waits"));
    const [runs] = ledger.begin(1, 0);

    expect(ledger.reset()).toEqual([runs]);
    expect([ledger.size, ledger.waiting]).toEqual([0, 0]);
  });
});
