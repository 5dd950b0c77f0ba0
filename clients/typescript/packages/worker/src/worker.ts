import { plainCodec, type Codec, type Logger } from "@protojobs/client";
import { Connection, monotonic, resolveOptions, type ResolvedOptions } from "@protojobs/client/connecting";

import { Executor } from "./executor.js";
import { Hooks, type Hook, type WorkerEventName } from "./hooks.js";
import { resolveWorkerOptions, type ExitReason, type ResolvedWorkerOptions, type WorkerOptions } from "./options.js";
import { Registry, type HandlerOptions, type JobHandler } from "./registry.js";
import { Service } from "./service.js";
import { Session } from "./session.js";
import { Tracing } from "./tracing.js";

const STOP_SIGNALS = ["SIGTERM", "SIGINT"] as const;
// Node.js keeps SIGUSR1 for its debugger.
const QUIET_SIGNAL = "SIGUSR2";

/**
 * Takes jobs of some queues and runs their handlers.
 *
 * ```ts
 * const worker = new Worker({ address: "127.0.0.1:50051", queues: { critical: 5, default: 1 } });
 * worker.handle("send_email", async (job, data: Email) => { ... }, { parse: (data) => Email.parse(data) });
 * await worker.run();
 * ```
 *
 * Handlers share the event loop with the worker's heartbeats: one that computes for long belongs on a worker thread.
 */
export class Worker {
  readonly #connection: ResolvedOptions;
  readonly #options: ResolvedWorkerOptions;
  readonly #codec: Codec;
  readonly #logger: Logger;
  readonly #hooks: Hooks;
  readonly #registry = new Registry();
  #session: Session | undefined;
  #service: Service | undefined;

  /**
   * Describes a worker; nothing connects before `run`.
   *
   * @param options Settings; those of the connection that are left out come from PROTOJOBS_* of the environment.
   * @throws RangeError or TypeError for settings that cannot work.
   */
  constructor(options: WorkerOptions = {}) {
    this.#connection = resolveOptions(options);
    this.#options = resolveWorkerOptions(options);
    this.#codec = options.codec ?? plainCodec;
    this.#logger = this.#connection.logger;
    this.#hooks = new Hooks(this.#logger);
  }

  /** Runs jobs of a kind by a function of their decoded payload. Throws TypeError if the kind has a handler. */
  handle<Data = unknown>(kind: string, handler: JobHandler<Data>, options: HandlerOptions<Data> = {}): this {
    this.#registry.add(kind, handler, options, this.#codec);
    return this;
  }

  /** Runs jobs of a kind by a function of their payload's bytes, whatever they are. Throws TypeError if the kind has a handler. */
  handleBytes(
    kind: string,
    handler: JobHandler<Uint8Array>,
    options: Omit<HandlerOptions<Uint8Array>, "parse"> = {},
  ): this {
    this.#registry.addBytes(kind, handler, options, this.#codec);
    return this;
  }

  /** Calls `hook` at every such event. */
  on<Name extends WorkerEventName>(name: Name, hook: Hook<Name>): this {
    this.#hooks.add(name, hook);
    return this;
  }

  /**
   * Serves until the worker ends; returns why. `EXIT_CODES` has the exit code of each reason.
   *
   * SIGTERM and SIGINT: finish running jobs for `grace` seconds, then abort their signals and wait for `stopGrace`
   * seconds, then give them back. A second one: give everything back now. SIGUSR2: take no more jobs.
   */
  async run(): Promise<ExitReason> {
    let stops = 0;
    const onStop = (): void => {
      stops += 1;
      this.stop({ now: stops > 1 });
    };
    const onQuiet = (): void => {
      this.quiet();
    };
    for (const signal of STOP_SIGNALS) process.on(signal, onStop);
    process.on(QUIET_SIGNAL, onQuiet);
    try {
      return await this.serve();
    } finally {
      for (const signal of STOP_SIGNALS) process.off(signal, onStop);
      process.off(QUIET_SIGNAL, onQuiet);
    }
  }

  /** As `run`, without touching the signals of the process. */
  async serve(): Promise<ExitReason> {
    if (this.#session !== undefined) throw new TypeError("this worker is running already");
    const options = this.#options;
    const logger = this.#logger;
    const hooks = this.#hooks;
    const connection = new Connection(this.#connection);
    // Before the first wait, so that a stop that comes at once finds a session.
    let tracing: Tracing | undefined;
    const executor = new Executor(this.#registry, hooks, () => tracing, logger, options.stopGrace);
    const session = new Session({
      options,
      kinds: this.#registry.kinds(),
      executor,
      hooks,
      logger,
      clock: monotonic,
      uniform: (low, high) => low + Math.random() * (high - low),
    });
    this.#session = session;
    this.#service = new Service(connection, options, session, hooks, logger, monotonic);
    try {
      tracing = await Tracing.ifInstalled(options.name, options.continuesTrace);
      hooks.emit("worker.starting", { worker: options.name, queues: [...options.queues.keys()] });
      await this.#service.run();
      const reason = session.leaving.exit ?? "SIGNAL";
      hooks.emit("worker.stopped", { worker: options.name, processed: session.holding.ended, reason });
      return reason;
    } finally {
      this.#session = undefined;
    }
  }

  /** Leaves as after SIGTERM; `now` as after a second one. */
  stop({ now = false }: { readonly now?: boolean } = {}): void {
    this.#session?.leave("SIGNAL");
    if (now) this.#session?.leave("KILLED");
  }

  /** Takes no more jobs, as after SIGUSR2. */
  quiet(): void {
    this.#session?.quiet();
  }

  /** Port of /healthz once the worker runs; 0 if there is none. */
  get healthPort(): number {
    return this.#service?.healthPort ?? 0;
  }
}
