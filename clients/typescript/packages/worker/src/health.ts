import { closeSync, openSync, rmSync, utimesSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";

import type { Logger } from "@protojobs/client";

import type { Phase } from "./holding.js";

const PATHS = new Set(["/healthz", "/livez", "/readyz"]);

/** How a worker is. */
export interface Health {
  /** Nothing is wrong that a restart could mend: a stream stands, or was lost only a short while ago. */
  readonly ok: boolean;
  readonly phase: Phase;
  readonly running: number;
  readonly waiting: number;
  readonly unsettled: number;
  readonly stuck: number;
}

/** A file that exists and is touched while the worker is healthy. */
export class HealthFile {
  readonly #path: string;
  readonly #logger: Logger;

  constructor(path: string, logger: Logger) {
    this.#path = path;
    this.#logger = logger;
  }

  /** Touches the file, or removes it. */
  show(health: Health): void {
    try {
      if (!health.ok) {
        this.remove();
        return;
      }
      closeSync(openSync(this.#path, "a"));
      const now = new Date();
      utimesSync(this.#path, now, now);
    } catch (error) {
      this.#logger.error("health file cannot be written", { error: error instanceof Error ? error.message : "" });
    }
  }

  /** Removes the file: the worker is gone. */
  remove(): void {
    rmSync(this.#path, { force: true });
  }
}

/** Answers GET /healthz, /livez and /readyz with 200 or 503 and the state as JSON. */
export class HealthServer {
  readonly #server: Server;

  constructor(look: () => Health) {
    this.#server = createServer((request, response) => {
      const path = (request.url ?? "").split("?", 1)[0] ?? "";
      if (!PATHS.has(path)) {
        response.writeHead(404).end();
      } else if (request.method !== "GET" && request.method !== "HEAD") {
        response.writeHead(405, { allow: "GET, HEAD" }).end();
      } else {
        const health = look();
        response.writeHead(health.ok ? 200 : 503, { "content-type": "application/json" });
        response.end(`${JSON.stringify(health)}\n`);
      }
    });
  }

  /** The port that it listens on; 0 before `start`. */
  get port(): number {
    return (this.#server.address() as AddressInfo | null)?.port ?? 0;
  }

  /** Listens on all interfaces; with port 0 on any free port of loopback. Rejects where that is taken. */
  start(port: number): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#server.once("error", reject);
      this.#server.listen({ port, ...(port === 0 ? { host: "127.0.0.1" } : {}) }, resolve);
    });
  }

  /** Stops listening. */
  stop(): void {
    this.#server.close();
    this.#server.closeAllConnections();
  }
}
