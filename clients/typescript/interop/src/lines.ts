import type { JobInfo } from "@protojobs/client";

/** Writes one object a line; undefined members are left out. */
export function emit(line: Readonly<Record<string, unknown>>): void {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

/** Writes bytes as base64. */
export function base64(bytes: Uint8Array): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("base64");
}

/** Says how a job stands. */
export function jobLine(event: string, job: JobInfo): Readonly<Record<string, unknown>> {
  return {
    event,
    job_id: job.id,
    state: job.state,
    attempt: job.attempt,
    failures: job.failures,
    crashes: job.crashes,
    payload: base64(job.payload ?? new Uint8Array()),
    result: base64(job.result ?? new Uint8Array()),
    error: job.lastError && { type: job.lastError.type, message: job.lastError.message },
  };
}
