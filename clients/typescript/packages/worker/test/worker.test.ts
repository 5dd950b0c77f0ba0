import { setTimeout as sleep } from "node:timers/promises";

import { Code } from "@connectrpc/connect";
import { afterEach, beforeEach, describe, expect, test } from "vitest";

import { FakeLeases, leased, type FakeLease, type Settling } from "../../../testing/fake_leases.js";
import { Channel, FakeServer, refusal } from "../../../testing/fake_server.js";
import {
  CancelReason,
  DrainReason,
  JobState,
  ReleaseReason,
  SettleCode,
  type LeasedJob,
} from "../../client/src/proto.js";
import {
  Cancel,
  Complete,
  Discard,
  JobStoppedError,
  NonRetryableError,
  Retry,
  Snooze,
  Worker,
  type WorkerOptions,
} from "../src/index.js";

let leases: FakeLeases;
let server: FakeServer;
let ends: (() => Promise<unknown>)[];

beforeEach(async () => {
  leases = new FakeLeases();
  server = await FakeServer.start(leases.routes);
  ends = [];
});

afterEach(async () => {
  await server.close();
  for (const end of ends) await end();
});

/** Starts a worker; it ends with the test. */
function start(
  register: (worker: Worker) => void,
  options: WorkerOptions = {},
): { worker: Worker; ended: Promise<unknown> } {
  const worker = new Worker({ address: server.address, queues: ["main"], grace: 0.2, stopGrace: 0.2, ...options });
  register(worker);
  const ended = worker.serve();
  ends.push(() => {
    worker.stop({ now: true });
    return ended;
  });
  return { worker, ended };
}

/** Delivers a job, and returns what it was settled with. */
async function outcomeOf(stream: FakeLease, job: LeasedJob): Promise<Settling["outcome"]> {
  stream.deliver(job);
  const settling = await stream.settling(job.jobId);
  stream.answer(settling);
  return settling.outcome;
}

const untilStopped = (signal: AbortSignal): Promise<never> => sleep(120_000, undefined as never, { signal });

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

describe("outcomes", () => {
  class Odd extends Error {}

  test("of handlers are settled as the contract has them", async () => {
    start((worker) => {
      worker
        .handle("result", (_job, data) => ({ got: data }))
        .handle("nothing", () => undefined)
        .handle("later", () => new Retry(5, "not yet"))
        .handle("snooze", () => {
          throw new Snooze(1.5);
        })
        .handle("cancel", () => new Cancel())
        .handle("discard", () => new Discard("useless"))
        .handle("final", () => {
          throw new NonRetryableError("never");
        })
        .handle("error", () => Promise.reject(new Odd("žluť")))
        .handle("chain", () => new Complete("done", { dispatch: [{ kind: "next", queue: "main" }] }));
    });
    const stream = await leases.stream();
    await stream.welcome();

    const ended: Record<string, Settling["outcome"]> = {};
    for (const kind of ["result", "nothing", "later", "snooze", "cancel", "discard", "final", "error", "chain"]) {
      ended[kind] = await outcomeOf(stream, leased(kind, 1));
    }

    expect(ended.result).toMatchObject({ case: "complete", value: { result: bytes('{"got":1}') } });
    expect(ended.nothing).toMatchObject({ case: "complete", value: { result: new Uint8Array() } });
    expect(ended.later).toMatchObject({
      case: "fail",
      value: { retryAfter: { seconds: 5n }, error: { message: "not yet" } },
    });
    expect(ended.snooze).toMatchObject({ case: "snooze", value: { delay: { seconds: 1n, nanos: 500_000_000 } } });
    expect(ended.cancel?.case).toBe("cancelled");
    expect(ended.discard).toMatchObject({ case: "fail", value: { retryable: false, error: { message: "useless" } } });
    expect(ended.final).toMatchObject({
      case: "fail",
      value: { retryable: false, error: { type: "NonRetryableError" } },
    });
    expect(ended.error).toMatchObject({ case: "fail", value: { error: { type: "Odd", message: "žluť" } } });
    expect(ended.chain).toMatchObject({
      case: "complete",
      value: { dispatch: [{ kind: "next" }], result: bytes('"done"') },
    });
  });

  test.each([
    ["a text", "string"],
    [undefined, "undefined"],
    [null, "null"],
    [{ n: 1 }, "object"],
  ])("of whatever is thrown are failures: %j", async (thrown, type) => {
    start((worker) =>
      worker.handle("odd", () => {
        // eslint-disable-next-line @typescript-eslint/only-throw-error -- what the test is about
        throw thrown;
      }),
    );
    const stream = await leases.stream();
    await stream.welcome();

    expect(await outcomeOf(stream, leased("odd"))).toMatchObject({ case: "fail", value: { error: { type } } });
  });

  test("of a payload that is not of its type are final failures that do not tell it", async () => {
    const parse = (data: unknown): number => {
      if (typeof data !== "number") throw new TypeError("a number is needed");
      return data;
    };
    start((worker) => worker.handle("typed", (_job, data: number) => data + 1, { parse }));
    const stream = await leases.stream();
    await stream.welcome();
    const broken = leased("typed");
    if (broken.spec !== undefined) broken.spec.payload = Buffer.from("{secret");

    const wrong = await outcomeOf(stream, leased("typed", "secret"));
    const unreadable = await outcomeOf(stream, broken);
    const right = await outcomeOf(stream, leased("typed", 1));

    expect(wrong).toMatchObject({
      value: { retryable: false, error: { type: "InvalidPayloadError", message: "TypeError: a number is needed" } },
    });
    expect(unreadable).toMatchObject({
      value: { retryable: false, error: { message: "SyntaxError: the payload is not JSON" } },
    });
    expect(right).toMatchObject({ case: "complete", value: { result: bytes("2") } });
  });

  test("of a kind without a handler are releases", async () => {
    start((worker) => worker.handle("known", () => undefined));
    const stream = await leases.stream();
    await stream.welcome();

    expect(await outcomeOf(stream, leased("unknown"))).toMatchObject({
      case: "release",
      value: { reason: ReleaseReason.UNKNOWN_KIND },
    });
  });

  test("that are too large lose their result, by one byte too many", async () => {
    start((worker) => worker.handle("big", () => Buffer.alloc(1000)));
    const stream = await leases.stream();
    await stream.welcome({ limits: { maxResultBytes: 100 } });

    const outcome = await outcomeOf(stream, leased("big"));

    expect(outcome.case === "complete" && outcome.value.result.length).toBe(101);
  });

  test("of many jobs leave in few frames, in the short form", async () => {
    start((worker) => worker.handle("noop", () => Promise.resolve()), { concurrency: 500 });
    const stream = await leases.stream();
    await stream.welcome();
    const jobs = Array.from({ length: 500 }, () => leased("noop"));
    stream.deliver(...jobs);

    for (const { jobId } of jobs) {
      const known = stream.frames.some(
        (each) =>
          each.frame.case === "settle" && each.frame.value.completed.some(({ jobIds }) => jobIds.includes(jobId)),
      );
      if (!known) await stream.settling(jobId);
    }

    expect(stream.frames.filter((each) => each.frame.case === "settle").length).toBeLessThan(10);
  });
});

describe("a stream", () => {
  test("tells in Hello who works where and has room for how much", async () => {
    start((worker) => worker.handle("b", () => undefined).handle("a", () => undefined), {
      queues: { high: 5, low: 1 },
      concurrency: 7,
      name: "me",
      sessionTtl: 12,
    });

    const hello = await (await leases.stream()).welcome();

    expect(hello).toMatchObject({
      worker: "me",
      kinds: ["a", "b"],
      slots: 7,
      streamNo: 1n,
      held: [],
      sessionTtl: { seconds: 12n },
    });
    expect(hello.queues.map(({ name, weight }) => [name, weight])).toEqual([
      ["high", 5],
      ["low", 1],
    ]);
    expect(hello.sessionId).toHaveLength(16);
    expect(hello.window?.maxInFlight).toBeGreaterThanOrEqual(7);
  });

  test("carries the frame that covers a job before its handler begins", async () => {
    const begun = new Channel<string>();
    start(
      (worker) =>
        worker.handle("noop", ({ jobId }) => {
          begun.put(jobId);
        }),
      { concurrency: 1 },
    );
    const stream = await leases.stream();
    await stream.welcome();
    const jobs = [leased("noop"), leased("noop"), leased("noop")];
    const number = stream.deliver(...jobs);

    for (const { jobId } of jobs) await stream.settling(jobId);

    expect([await begun.take(), await begun.take(), await begun.take()]).toEqual(jobs.map(({ jobId }) => jobId));
    const started = stream.frames
      .filter(({ receivedSeq }) => receivedSeq >= number)
      .map(({ startedSeq }) => startedSeq);
    expect(started).toEqual([...started].sort());
    expect(started[0]).toBe(1n);
    expect(stream.frames.map(({ seq }) => seq)).toEqual(stream.frames.map((_, index) => BigInt(index + 1)));
  });

  test("that is lost is followed by one that names what is held, and outcomes go out again", async () => {
    const finish = new Channel<undefined>();
    start((worker) => worker.handle("ends", () => "done").handle("runs", () => finish.take()));
    const stream = await leases.stream();
    const first = await stream.welcome();
    const [ends, runs] = [leased("ends"), leased("runs")];
    stream.deliver(ends, runs);
    await stream.settling(ends.jobId);

    stream.end(refusal(Code.Unavailable, { reason: "DRAINING" }));
    const again = await leases.stream();
    const second = await again.welcome({ kept: [ends, runs].map(({ jobId }) => ({ jobId, attempt: 1 })) });
    again.answer(await again.settling(ends.jobId));
    finish.put(undefined);
    again.answer(await again.settling(runs.jobId));

    expect(second.sessionId).toEqual(first.sessionId);
    expect(second.streamNo).toBe(2n);
    expect(second.held.map(({ jobId, started }) => [jobId, started])).toEqual([
      [ends.jobId, true],
      [runs.jobId, true],
    ]);
  });

  test("that resumes without a lease stops its handler, and nothing is settled", async () => {
    const stopped = new Channel<unknown>();
    start((worker) =>
      worker
        .handle("noop", () => undefined)
        .handle("runs", ({ signal }) =>
          untilStopped(signal).catch((error: unknown) => {
            stopped.put(signal.reason);
            throw error;
          }),
        ),
    );
    const stream = await leases.stream();
    await stream.welcome();
    const lost = leased("runs");
    stream.deliver(lost);
    await stream.expect("ping", ({ startedSeq }) => startedSeq === 1n);

    stream.end(refusal(Code.Unavailable, { reason: "DRAINING" }));
    const again = await leases.stream();
    await again.welcome({ lost: [{ jobId: lost.jobId, attempt: 1 }] });
    await outcomeOf(again, leased("noop"));

    expect(await stopped.take()).toMatchObject({ reason: "LEASE_LOST" });
    expect(
      again.frames
        .flatMap((frame) => (frame.frame.case === "settle" ? frame.frame.value.items : []))
        .map(({ jobId }) => jobId),
    ).not.toContain(lost.jobId);
  });

  test("that falls silent is left for the next one", async () => {
    start((worker) => worker.handle("noop", () => undefined));
    const stream = await leases.stream();
    const first = await stream.welcome({}, 30, 100);

    const second = await (await leases.stream()).welcome();

    expect(second.sessionId).toEqual(first.sessionId);
    expect(second.streamNo).toBe(2n);
  });

  test("of a session that the server has closed is followed by a new session", async () => {
    const stopped = new Channel<unknown>();
    start((worker) =>
      worker.handle("runs", ({ signal }) =>
        untilStopped(signal).finally(() => {
          stopped.put(signal.reason);
        }),
      ),
    );
    const stream = await leases.stream();
    const first = await stream.welcome();
    stream.deliver(leased("runs"));
    await stream.expect("ping", ({ startedSeq }) => startedSeq === 1n);

    stream.end(refusal(Code.FailedPrecondition, { reason: "SESSION_CLOSED" }));
    const second = await (await leases.stream()).welcome();

    expect(second.sessionId).not.toEqual(first.sessionId);
    expect([second.streamNo, second.held]).toEqual([1n, []]);
    expect(await stopped.take()).toBeInstanceOf(JobStoppedError);
  });

  test("that is refused from the first ends the worker", async () => {
    const { ended } = start((worker) => worker.handle("noop", () => undefined));
    const stream = await leases.stream();

    stream.end(refusal(Code.PermissionDenied, { reason: "PERMISSION_DENIED" }));

    expect(await ended).toBe("REFUSED");
  });

  test("sends an outcome again that was not stored, and drops one that is superseded", async () => {
    const { worker } = start((made) => made.handle("noop", () => undefined));
    const codes = new Channel<string>();
    worker.on("job.settled", ({ code }) => {
      codes.put(code);
    });
    const stream = await leases.stream();
    await stream.welcome();
    const job = leased("noop");
    stream.deliver(job);

    stream.answer(await stream.settling(job.jobId), SettleCode.RETRY_LATER);
    stream.answer(await stream.settling(job.jobId), SettleCode.LEASE_SUPERSEDED);

    expect(await codes.take()).toBe("LEASE_SUPERSEDED");
  });
});

describe("a handler", () => {
  test("is stopped by a cancel, and its job is settled as cancelled", async () => {
    start((worker) => worker.handle("runs", ({ signal }) => untilStopped(signal)));
    const stream = await leases.stream();
    await stream.welcome();
    const job = leased("runs");
    stream.deliver(job);
    await stream.expect("ping", ({ startedSeq }) => startedSeq === 1n);

    stream.send({
      case: "cancel",
      value: { items: [{ jobId: job.jobId, attempt: 1, reason: CancelReason.CANCELLED }] },
    });

    expect((await stream.settling(job.jobId)).outcome.case).toBe("cancelled");
  });

  test("that passes its run timeout fails by it", async () => {
    start((worker) => worker.handle("runs", ({ signal }) => untilStopped(signal), { timeout: 0.1 }));
    const stream = await leases.stream();
    await stream.welcome();

    expect(await outcomeOf(stream, leased("runs"))).toMatchObject({
      case: "fail",
      value: { error: { type: "TIMEOUT" } },
    });
  });

  test("that never returns loses its slot, and its job gets its outcome", async () => {
    start((worker) => worker.handle("stuck", () => new Promise(() => undefined), { timeout: 0.1 }), {
      concurrency: 4,
      stuckLimit: 9,
    });
    const stream = await leases.stream();
    await stream.welcome();

    expect(await outcomeOf(stream, leased("stuck"))).toMatchObject({
      case: "fail",
      value: { error: { type: "TIMEOUT" } },
    });
  });

  test("stops before others may run its job where no server answers", async () => {
    const stopped = new Channel<unknown>();
    start((worker) =>
      worker.handle("runs", ({ signal }) =>
        untilStopped(signal).finally(() => {
          stopped.put(signal.reason);
        }),
      ),
    );
    const stream = await leases.stream();
    await stream.welcome({}, 1, 250);
    stream.deliver(leased("runs"));
    await stream.expect("ping", ({ startedSeq }) => startedSeq === 1n);

    await server.close();

    expect(await stopped.take()).toMatchObject({ reason: "LEASE_LOST" });
  });

  test("that ends well after its lease was lost has not completed its job", async () => {
    const stopped = new Channel<undefined>();
    const { worker } = start((made) =>
      made.handle("deaf", async ({ signal }) => {
        await untilStopped(signal).catch(() => undefined);
        return "done";
      }),
    );
    worker.on("job.processed", ({ outcome }) => {
      stopped.put(undefined);
      outcomes.push(outcome.kind);
    });
    const outcomes: string[] = [];
    const stream = await leases.stream();
    await stream.welcome();
    const job = leased("deaf");
    stream.deliver(job);
    await stream.expect("ping", ({ startedSeq }) => startedSeq === 1n);

    stream.send({
      case: "cancel",
      value: { items: [{ jobId: job.jobId, attempt: 1, reason: CancelReason.LEASE_LOST }] },
    });
    await stopped.take();

    expect(outcomes).toEqual(["released"]);
  });

  test("gets no envelope that nobody here can open", async () => {
    start((worker) => worker.handleBytes("bytes", () => "ran").handle("data", () => "ran"));
    const stream = await leases.stream();
    await stream.welcome();
    const jobs = [leased("bytes"), leased("data")];

    for (const job of jobs) {
      if (job.spec !== undefined) job.spec.contentType = "application/vnd.protojobs.envelope";
      const message = expect.stringMatching(/^NO_CODEC/) as string;
      expect(await outcomeOf(stream, job)).toMatchObject({ value: { retryable: false, error: { message } } });
    }
  });

  test("hands its checkpoint to the next attempt with its failure", async () => {
    start((worker) =>
      worker.handle("half", (job) => {
        if (job.checkpoint !== undefined) return job.checkpoint;
        job.saveCheckpoint(Buffer.from("half"));
        throw new Error("not yet");
      }),
    );
    const stream = await leases.stream();
    await stream.welcome();

    const first = await outcomeOf(stream, leased("half"));
    const second = await outcomeOf(stream, leased("half", null, { attempt: 2, checkpoint: Buffer.from("half") }));

    expect(first).toMatchObject({ case: "fail", value: { checkpoint: bytes("half") } });
    expect(second).toMatchObject({ case: "complete", value: { result: bytes("half") } });
  });

  test("tells its progress, the last one always", async () => {
    start((worker) =>
      worker.handle("progress", (job) => {
        for (const ratio of [0.1, 0.5, 1]) job.progress(ratio, "so far");
      }),
    );
    const stream = await leases.stream();
    await stream.welcome();

    await outcomeOf(stream, leased("progress"));

    const told = stream.frames.flatMap((each) => (each.frame.case === "update" ? each.frame.value.items : []));
    expect(told.map(({ progress }) => progress?.ratio)).toEqual([1]);
  });

  test("is told of its last failure for good", async () => {
    const failures = new Channel<unknown>();
    const failed = (_job: unknown, error: unknown): void => {
      failures.put(error);
    };
    start((worker) =>
      worker.handle(
        "fails",
        () => {
          throw new RangeError("no");
        },
        { failed },
      ),
    );
    const stream = await leases.stream();
    await stream.welcome();
    const job = leased("fails");
    stream.deliver(job);

    stream.answer(await stream.settling(job.jobId), SettleCode.OK, JobState.FAILED);

    expect(await failures.take()).toBeInstanceOf(RangeError);
  });
});

describe("leaving", () => {
  test("finishes what runs, gives back the rest unsaid, and waits for the answers", async () => {
    const finish = new Channel<string>();
    const { worker, ended } = start((made) => made.handle("runs", () => finish.take()), { concurrency: 1, grace: 60 });
    const stream = await leases.stream();
    await stream.welcome();
    const [runs, waits] = [leased("runs"), leased("runs")];
    stream.deliver(runs, waits);
    await stream.expect("ping", ({ startedSeq }) => startedSeq === 1n);

    worker.stop();
    await stream.expect("goodbye");
    finish.put("done");
    stream.answer(await stream.settling(runs.jobId));
    await stream.left();
    stream.end();

    expect(await ended).toBe("SIGNAL");
  });

  test("stops what does not finish within the grace, and gives it back", async () => {
    const { worker, ended } = start((made) => made.handle("runs", ({ signal }) => untilStopped(signal)));
    const stream = await leases.stream();
    await stream.welcome();
    const job = leased("runs");
    stream.deliver(job);
    await stream.expect("ping", ({ startedSeq }) => startedSeq === 1n);

    worker.stop();
    const settling = await stream.settling(job.jobId);
    stream.answer(settling);
    await stream.left();
    stream.end();

    expect(settling.outcome.case).toBe("release");
    expect(await ended).toBe("SIGNAL");
  });

  test("of a drained stream goes on by another one", async () => {
    const finish = new Channel<string>();
    start((worker) => worker.handle("runs", () => finish.take()));
    const stream = await leases.stream();
    await stream.welcome();
    const job = leased("runs");
    stream.deliver(job);
    await stream.expect("ping", ({ startedSeq }) => startedSeq === 1n);

    stream.send({ case: "drain", value: { reason: DrainReason.AGE } });
    const again = await leases.stream();
    const hello = await again.welcome({ kept: [{ jobId: job.jobId, attempt: 1 }] });
    finish.put("done");

    expect(hello.held.map(({ jobId }) => jobId)).toEqual([job.jobId]);
    expect((await again.settling(job.jobId)).outcome.case).toBe("complete");
  });

  test("is what an operator may ask for", async () => {
    const { ended } = start((worker) => worker.handle("noop", () => undefined));
    const stream = await leases.stream();
    await stream.welcome();

    stream.send({ case: "drain", value: { reason: DrainReason.WORKER } });
    await stream.left();
    stream.end();

    expect(await ended).toBe("DRAINED");
  });

  test("happens by itself after so many jobs", async () => {
    const { ended } = start((worker) => worker.handle("noop", () => undefined), { maxJobs: 2 });
    const stream = await leases.stream();
    await stream.welcome();

    await outcomeOf(stream, leased("noop"));
    await outcomeOf(stream, leased("noop"));
    await stream.left();
    stream.end();

    expect(await ended).toBe("MAX_JOBS");
  });
});
