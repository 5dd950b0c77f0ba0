import { create } from "@bufbuild/protobuf";
import type { Logger, Seconds } from "@protojobs/client";
import type { Connection, Line } from "@protojobs/client/connecting";
import { StatsRequestSchema } from "@protojobs/client/proto";

import { HealthFile, HealthServer, type Health } from "./health.js";
import type { Hooks } from "./hooks.js";
import type { ResolvedWorkerOptions } from "./options.js";
import type { Road, Session } from "./session.js";

const RULES_EVERY: Seconds = 1;
const STATS_EVERY: Seconds = 0.25;
const IDLE: Seconds = 1;
const STATS_DEADLINE: Seconds = 5;

/** What lives around a session: its one timer, health, and the rules by which a worker ends by itself. */
export class Service {
  readonly #connection: Connection;
  readonly #options: ResolvedWorkerOptions;
  readonly #session: Session;
  readonly #hooks: Hooks;
  readonly #logger: Logger;
  readonly #clock: () => Seconds;
  readonly #beganAt: Seconds;
  readonly #file: HealthFile | undefined;
  readonly #server: HealthServer | undefined;
  #line: Line | undefined;
  #timer: NodeJS.Timeout | undefined;
  #ruledAt = -Infinity;
  #askedAt = -Infinity;
  #asking = false;

  constructor(
    connection: Connection,
    options: ResolvedWorkerOptions,
    session: Session,
    hooks: Hooks,
    logger: Logger,
    clock: () => Seconds,
  ) {
    this.#connection = connection;
    this.#options = options;
    this.#session = session;
    this.#hooks = hooks;
    this.#logger = logger;
    this.#clock = clock;
    this.#beganAt = clock();
    this.#file = options.healthFile === undefined ? undefined : new HealthFile(options.healthFile, logger);
    this.#server = options.healthPort === undefined ? undefined : new HealthServer(() => this.health());
  }

  /** The port of /healthz; 0 where there is none. */
  get healthPort(): number {
    return this.#server?.port ?? 0;
  }

  /** Says how the worker is. */
  health(): Health {
    const { holding, connected, downSince } = this.#session;
    return {
      ok: connected || this.#clock() < downSince + this.#options.unhealthyAfter,
      phase: holding.phase,
      running: holding.ledger.running,
      waiting: holding.ledger.waiting,
      unsettled: holding.ledger.size,
      stuck: holding.stuck,
    };
  }

  /** Runs the session until it has left. */
  async run(): Promise<void> {
    try {
      if (this.#options.healthPort !== undefined) await this.#server?.start(this.#options.healthPort);
      this.#tick();
      await this.#session.run(this.#road());
    } finally {
      clearTimeout(this.#timer);
      this.#file?.remove();
      this.#server?.stop();
      this.#connection.close();
    }
  }

  #road(): Road {
    return {
      open: (requests, signal) => {
        const { line, stubs } = this.#connection.current();
        this.#line = line;
        return stubs.leases.lease(requests, { signal });
      },
      lost: (silent) => {
        const line = this.#line;
        if (line === undefined) return;
        if (silent) this.#connection.drop(line);
        else this.#connection.lost(line);
      },
    };
  }

  #tick(): void {
    this.#session.upkeep();
    const now = this.#clock();
    if (now >= this.#ruledAt + RULES_EVERY) {
      this.#ruledAt = now;
      this.#file?.show(this.health());
      this.#followFiles();
      if (this.#session.holding.phase !== "LEAVING") this.#applyRules(now);
    }
    if (this.#options.untilEmpty) void this.#leaveIfEmpty(now);
    this.#timer = setTimeout(() => {
      this.#tick();
    }, this.#session.holding.limits.tick * 1000);
  }

  /** Goes on by another stream where certificates have changed. */
  #followFiles(): void {
    if (!this.#session.connected || this.#connection.current().line === this.#line) return;
    this.#logger.info("certificates have changed; going on by another stream");
    this.#session.move();
  }

  #applyRules(now: Seconds): void {
    const { maxLifetime, maxMemory, name } = this.#options;
    if (now >= this.#beganAt + maxLifetime) this.#session.leave("MAX_LIFETIME");
    if (maxMemory === Infinity) return;
    const memoryBytes = process.memoryUsage.rss();
    if (memoryBytes <= maxMemory) return;
    this.#logger.warn("memory exceeded", { memoryBytes, limitBytes: maxMemory });
    this.#hooks.emit("worker.memory_exceeded", { worker: name, memoryBytes });
    this.#session.leave("MAX_MEMORY");
  }

  /** Leaves when nothing was delivered for a second and the server counts no PENDING job in our queues. */
  async #leaveIfEmpty(now: Seconds): Promise<void> {
    const { holding, connected } = this.#session;
    const idle = now - holding.lastBusy;
    const due = now >= this.#askedAt + STATS_EVERY;
    if (this.#asking || !due || !connected || !holding.ledger.idle || idle < IDLE || holding.phase === "LEAVING")
      return;
    this.#asking = true;
    this.#askedAt = now;
    const empty = idle >= this.#options.emptyGrace || (await this.#nothingWaits());
    this.#asking = false;
    if (empty && this.#session.holding.ledger.idle) this.#session.leave("EMPTY");
  }

  async #nothingWaits(): Promise<boolean> {
    try {
      const request = create(StatsRequestSchema);
      const { queues } = await this.#connection.call((stubs, options) => stubs.queues.stats(request, options), {
        deadline: STATS_DEADLINE,
      });
      return !queues.some(({ queue, counts }) => this.#options.queues.has(queue) && (counts?.pending ?? 0n) > 0n);
    } catch {
      // The idle grace decides.
      return false;
    }
  }
}
