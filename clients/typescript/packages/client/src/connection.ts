import type { DescService } from "@bufbuild/protobuf";
import { Code, createClient, type CallOptions, type Client } from "@connectrpc/connect";

import { retrying } from "./backoff.js";
import { Dial, type Line } from "./dial.js";
import { ClientClosedError, DeadlineExceededError, UnavailableError, type ProtoJobsError } from "./errors.js";
import { JobService } from "./gen/protojobs/v1/job_service_pb.js";
import { QueueService } from "./gen/protojobs/v1/queue_service_pb.js";
import { ScheduleService } from "./gen/protojobs/v1/schedule_service_pb.js";
import { ServerService } from "./gen/protojobs/v1/server_service_pb.js";
import { WorkerService } from "./gen/protojobs/v1/worker_service_pb.js";
import { LeaseFrames } from "./lease_frames.js";
import type { ResolvedOptions } from "./options.js";
import { translate } from "./statuses.js";
import type { Seconds } from "./time.js";

const SHORTEST_TRY: Seconds = 0.05;

/** The services of one line. */
export interface Stubs {
  readonly jobs: Client<typeof JobService>;
  readonly queues: Client<typeof QueueService>;
  readonly schedules: Client<typeof ScheduleService>;
  readonly workers: Client<typeof WorkerService>;
  readonly leases: Client<typeof LeaseFrames>;
  readonly server: Client<typeof ServerService>;
}

/** How patiently one call is made. */
export interface Patience {
  /** Bound of one try, default `readDeadline`. */
  readonly deadline?: Seconds;
  /** Ends the call; it then throws the signal's reason. */
  readonly signal?: AbortSignal | undefined;
}

/** The one way to make a call: with a deadline, retries and translated errors. */
export class Connection {
  readonly options: ResolvedOptions;
  readonly #dial: Dial;
  readonly #stubs = new WeakMap<Line, Stubs>();
  #closed = false;

  constructor(options: ResolvedOptions) {
    this.options = options;
    this.#dial = new Dial(options);
  }

  /** The line that new calls and streams use, and its services. It changes when certificates do: compare lines. */
  current(): { readonly line: Line; readonly stubs: Stubs } {
    this.checkOpen();
    const line = this.#dial.line();
    let stubs = this.#stubs.get(line);
    if (stubs === undefined) {
      const made = <T extends DescService>(service: T): Client<T> => createClient(service, line.transport);
      stubs = {
        jobs: made(JobService),
        queues: made(QueueService),
        schedules: made(ScheduleService),
        workers: made(WorkerService),
        leases: made(LeaseFrames),
        server: made(ServerService),
      };
      this.#stubs.set(line, stubs);
    }
    return { line, stubs };
  }

  /**
   * Makes an idempotent call; repeats it while its error is retryable, until `callTimeout` is over.
   *
   * @throws ProtoJobsError
   */
  async call<T>(make: (stubs: Stubs, options: CallOptions) => Promise<T>, patience: Patience = {}): Promise<T> {
    const oneTry = patience.deadline ?? this.options.readDeadline;
    const whole = Math.max(this.options.callTimeout, oneTry);
    let failure: ProtoJobsError | undefined;
    return retrying(
      async (left) => {
        const { line, stubs } = this.current();
        const timeoutMs = Math.ceil(Math.max(SHORTEST_TRY, Math.min(oneTry, left)) * 1000);
        try {
          return await make(
            stubs,
            patience.signal === undefined ? { timeoutMs } : { timeoutMs, signal: patience.signal },
          );
        } catch (error) {
          patience.signal?.throwIfAborted();
          const told = translate(error);
          if (told instanceof UnavailableError) this.#dial.lost(line);
          // The last tries are cut short: why the earlier ones failed tells more.
          if (failure === undefined || !(told instanceof DeadlineExceededError)) failure = told;
          throw failure;
        }
      },
      whole,
      patience.signal,
    );
  }

  /** Goes on by the next server: the one of this line does not answer. */
  lost(line: Line): void {
    this.#dial.lost(line);
  }

  /** Ends a line whose server is silent, with all calls on it; what follows goes by a fresh connection. */
  drop(line: Line): void {
    this.#dial.drop(line);
  }

  /** Throws ClientClosedError after `close`. */
  checkOpen(): void {
    if (this.#closed) throw new ClientClosedError();
  }

  /** Ends the connection. Calls that are under way fail. May be repeated. */
  close(): void {
    this.#closed = true;
    this.#dial.close();
  }
}

/** Returns the error of something that did not come in time. */
export function late(message: string): DeadlineExceededError {
  return new DeadlineExceededError(message, { code: Code.DeadlineExceeded });
}
