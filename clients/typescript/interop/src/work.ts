import { createHash } from "node:crypto";

import { jsonLogger } from "@protojobs/client";
import { Worker, type JobContext, type Outcome } from "@protojobs/worker";

import { readNumber, UsageError, type Arguments } from "./arguments.js";
import { HANDLERS } from "./handlers.js";
import { base64, emit } from "./lines.js";

/** Works until N jobs that ended were settled; for ever with 0. */
export async function work(given: Arguments): Promise<void> {
  const most = readNumber("n", given.n);
  const worker = new Worker({
    address: given.addr,
    queues: [given.queue],
    concurrency: readNumber("slots", given.slots),
    grace: readNumber("grace", given.grace),
    healthFile: given["health-file"],
    maxJobs: given.quiet && most > 0 ? most : undefined,
    logger: jsonLogger("info"),
  });
  for (const kind of given.kinds?.split(",") ?? Object.keys(HANDLERS)) {
    const register = HANDLERS[kind];
    if (register === undefined) throw new UsageError(`no kind ${kind}`);
    register(worker);
  }
  tellOfWorker(worker);
  if (!given.quiet) tellOfJobs(worker, most);
  await worker.run();
}

function tellOfWorker(worker: Worker): void {
  worker.on("worker.ready", ({ session, resumed }) => {
    emit({ event: "ready", session, resumed });
  });
  worker.on("worker.draining", () => {
    emit({ event: "draining" });
  });
  worker.on("worker.stopped", ({ processed }) => {
    emit({ event: "stopped", processed });
  });
}

function tellOfJobs(worker: Worker, most: number): void {
  const ended = new Set<string>();
  const abandoned = new Set<string>();
  let settled = 0;
  worker.on("job.processing", ({ context }) => {
    emit(startedLine(context));
  });
  worker.on("job.processed", ({ context, outcome }) => {
    if (abandoned.delete(keyOf(context))) return;
    ended.add(keyOf(context));
    emit({ event: "ended", job_id: context.jobId, attempt: context.attempt, outcome: nameOf(context, outcome) });
  });
  worker.on("job.abandoned", ({ context }) => {
    abandoned.add(keyOf(context));
    ended.add(keyOf(context));
    emit({ event: "ended", job_id: context.jobId, attempt: context.attempt, outcome: "abandoned" });
  });
  worker.on("job.settled", ({ jobId, attempt, code }) => {
    emit({ event: "settled", job_id: jobId, attempt, code });
    if (!ended.delete(keyOf({ jobId, attempt }))) return;
    settled += 1;
    if (settled === most) worker.stop();
  });
}

function startedLine(job: JobContext): Readonly<Record<string, unknown>> {
  const { payload, spec } = job;
  const start = spec?.start;
  const runTime = start?.case === "runTime" ? start.value : undefined;
  return {
    event: "started",
    job_id: job.jobId,
    kind: job.kind,
    attempt: job.attempt,
    payload_sha256: createHash("sha256").update(payload).digest("hex"),
    payload_len: payload.length,
    headers: job.headers,
    priority: job.priority,
    run_time_us: runTime === undefined ? null : Number(runTime.seconds) * 1_000_000 + Math.trunc(runTime.nanos / 1000),
    traceparent: job.headers.traceparent ?? null,
    checkpoint: job.checkpoint === undefined ? null : base64(job.checkpoint),
    at_us: Date.now() * 1000,
  };
}

function nameOf(job: JobContext, outcome: Outcome): string {
  switch (outcome.kind) {
    case "completed":
      return "complete";
    case "failed":
      return outcome.error.type === "Discard" ? "discard" : "fail";
    case "snoozed":
      return "snooze";
    case "cancelled":
      return job.stopReason === "CANCELLED" ? "cancelled" : "cancel";
    case "released":
      return job.stopReason === "LEASE_LOST" ? "lost" : "abandoned";
  }
}

function keyOf({ jobId, attempt }: { readonly jobId: string; readonly attempt: number }): string {
  return `${jobId}/${String(attempt)}`;
}
