import { readNumber, required, withClient, type Arguments } from "./arguments.js";
import { emit, jobLine } from "./lines.js";

const PREFIX = /^job\./;

/** Says how a job stands. */
export function get(given: Arguments): Promise<void> {
  const jobId = required("job-id", given["job-id"]);
  return withClient(given, async (client) => {
    emit(jobLine("job", await client.get(jobId, { full: true })));
  });
}

/** Cancels a job. */
export function cancel(given: Arguments): Promise<void> {
  const jobId = required("job-id", given["job-id"]);
  return withClient(given, async (client) => {
    await client.cancel(jobId);
    emit(jobLine("job", await client.get(jobId, { full: true })));
  });
}

/** Takes a job up again. */
export function retry(given: Arguments): Promise<void> {
  const jobId = required("job-id", given["job-id"]);
  return withClient(given, async (client) => {
    await client.retry(jobId);
    emit(jobLine("job", await client.get(jobId, { full: true })));
  });
}

/** Says which jobs failed for good. */
export function failed(given: Arguments): Promise<void> {
  const most = readNumber("n", given.n);
  return withClient(given, async (client) => {
    let left = most;
    for await (const job of client.failedJobs(given.queue, { full: true })) {
      emit(jobLine("job", job));
      left -= 1;
      if (left === 0) return;
    }
  });
}

/** Says how many jobs a queue has. */
export function stats(given: Arguments): Promise<void> {
  return withClient(given, async (client) => {
    const [found] = await client.queues.stats(given.queue);
    emit({ event: "stats", queue: given.queue, ...found?.counts });
  });
}

/** Makes one job later. */
export function schedule(given: Arguments): Promise<void> {
  const wait = readNumber("in", given.in);
  return withClient(given, async (client) => {
    const jobId = await client.scheduleIn(given.kind, undefined, wait, { queue: given.queue });
    emit({ event: "scheduled", job_id: jobId });
  });
}

/** Says what happens to the jobs of a queue, until N times. */
export function watch(given: Arguments): Promise<void> {
  const most = readNumber("n", given.n);
  return withClient(given, async (client) => {
    const events = client.watchJobs({ queues: [given.queue] });
    await events.begin();
    emit({ event: "watching" });
    let left = most;
    for await (const event of events) {
      emit({
        event: "job_event",
        type: event.type.replace(PREFIX, ""),
        job_id: event.job.id,
        attempt: event.attempt,
      });
      left -= 1;
      if (left === 0) return;
    }
  });
}
