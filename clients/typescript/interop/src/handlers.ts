import { setTimeout as sleep } from "node:timers/promises";

import { Cancel, Complete, Discard, NonRetryableError, Snooze, type JobContext, type Worker } from "@protojobs/worker";

const BIG_BYTES = 5 * 1024 * 1024;

class NoLuck extends Error {
  override readonly name = "NoLuck";
}

interface Nap {
  readonly seconds: number;
}

interface Numbered {
  readonly n: number;
}

function parseNap(data: unknown): Nap {
  if (typeof data !== "object" || data === null || !("seconds" in data) || typeof data.seconds !== "number") {
    throw new TypeError("seconds must be a number");
  }
  return { seconds: data.seconds };
}

function parseNumbered(data: unknown): Numbered {
  if (typeof data !== "object" || data === null || !("n" in data) || !Number.isInteger(data.n)) {
    throw new TypeError("n must be an integer");
  }
  return { n: Number(data.n) };
}

function noLuck(job: JobContext): NoLuck {
  return new NoLuck(`no luck, attempt ${String(job.attempt)}: žluť`);
}

const text = (value: unknown): Buffer => Buffer.from(String(value));

/** Registers one handler, by its kind. */
export const HANDLERS: Readonly<Record<string, (worker: Worker) => Worker>> = {
  echo: (worker) => worker.handleBytes("echo", (_job, payload) => payload),
  noop: (worker) => worker.handleBytes("noop", () => undefined),
  fail_twice: (worker) =>
    worker.handleBytes("fail_twice", (job) => {
      if (job.failures < 2) throw noLuck(job);
      return text(job.attempt);
    }),
  fail: (worker) =>
    worker.handleBytes("fail", (job) => {
      throw noLuck(job);
    }),
  nonretryable: (worker) =>
    worker.handleBytes("nonretryable", () => {
      throw new NonRetryableError("no retry can help");
    }),
  snooze_once: (worker) => worker.handleBytes("snooze_once", (job) => (job.attempt === 1 ? new Snooze(1) : undefined)),
  sleep: (worker) =>
    worker.handle(
      "sleep",
      async (job, { seconds }) => {
        await sleep(seconds * 1000, undefined, { signal: job.signal });
      },
      { parse: parseNap },
    ),
  stubborn: (worker) =>
    worker.handle("stubborn", async (_job, { seconds }) => sleep(seconds * 1000), { parse: parseNap }),
  checkpoint: (worker) =>
    worker.handleBytes("checkpoint", (job) => {
      const { checkpoint } = job;
      if (checkpoint !== undefined) return checkpoint;
      job.saveCheckpoint(Buffer.from("half"));
      throw noLuck(job);
    }),
  progress: (worker) =>
    worker.handleBytes("progress", (job) => {
      for (const ratio of [0.1, 0.5, 1]) job.progress(ratio, `${String(ratio * 100)} %`);
    }),
  odd: (worker) =>
    worker.handleBytes("odd", () => {
      // eslint-disable-next-line @typescript-eslint/only-throw-error -- what this kind is there for
      throw "not an error";
    }),
  big: (worker) => worker.handleBytes("big", () => Buffer.alloc(BIG_BYTES, "x")),
  typed: (worker) => worker.handle("typed", (_job, { n }) => text(n + 1), { parse: parseNumbered }),
  chain: (worker) =>
    worker.handleBytes("chain", (job) => new Complete(undefined, { dispatch: [{ kind: "noop", queue: job.queue }] })),
  discard: (worker) => worker.handleBytes("discard", () => new Discard("discarded")),
  cancel: (worker) => worker.handleBytes("cancel", () => new Cancel("cancelled by itself")),
};
