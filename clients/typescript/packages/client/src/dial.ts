import { readFileSync, statSync } from "node:fs";
import type { SecureClientSessionOptions } from "node:http2";

import { type Interceptor, type Transport } from "@connectrpc/connect";
import { createGrpcTransport, Http2SessionManager } from "@connectrpc/connect-node";

import { originOf, type Endpoint } from "./address.js";
import type { ResolvedOptions } from "./options.js";
import { Token } from "./token.js";
import { monotonic } from "./time.js";
import { VERSION } from "./version.js";

const PING_EVERY_MS = 20_000;
const PING_TIMEOUT_MS = 10_000;
const LOOK_AT_FILES_SECONDS = 1;

/** One way to one server. */
export interface Line {
  /** Makes calls. */
  readonly transport: Transport;
  /** Ends its connection, with all calls on it. */
  close(): void;
}

/**
 * Opens a line to each server of an address, and uses the same one until it is lost, then that to the next server; new
 * ones where a certificate file has changed. A line connects when it is first used.
 */
export class Dial {
  readonly #options: ResolvedOptions;
  readonly #token: Token;
  readonly #files: readonly string[];
  readonly #lines = new Map<Endpoint, Line>();
  #turn = 0;
  #stamp = "";
  #lookedAt = -Infinity;
  readonly #left = new Set<Line>();

  constructor(options: ResolvedOptions) {
    this.#options = options;
    this.#token = new Token(options.token, options.tokenFile);
    const { ca, cert, key } = options;
    this.#files = options.usesTls ? [ca, cert, key].filter((file) => file !== undefined) : [];
  }

  /**
   * Returns the line to use now.
   *
   * @throws Error if a certificate or key file cannot be read.
   */
  line(): Line {
    if (this.#filesChanged()) this.#redial();
    const endpoint = this.#endpoint();
    let line = this.#lines.get(endpoint);
    if (line === undefined) {
      this.#stamp = stampOf(this.#files) ?? this.#stamp;
      line = this.#open(endpoint);
      this.#lines.set(endpoint, line);
    }
    return line;
  }

  /** Goes on by the next server: this line's does not answer. Calls that are on the line end on it. */
  lost(line: Line): void {
    if (line === this.#current()) this.#turn += 1;
  }

  /** Ends a line, with all calls on it: its server is silent. What follows goes by a fresh connection. */
  drop(line: Line): void {
    if (line === this.#current()) this.#turn += 1;
    for (const [endpoint, each] of this.#lines) if (each === line) this.#lines.delete(endpoint);
    line.close();
  }

  /** Ends every connection. */
  close(): void {
    for (const line of [...this.#lines.values(), ...this.#left]) line.close();
    this.#lines.clear();
    this.#left.clear();
  }

  #current(): Line | undefined {
    return this.#lines.get(this.#endpoint());
  }

  /** Opens a line with the new files; what is under way on the old ones ends there. */
  #redial(): void {
    const endpoint = this.#endpoint();
    const stamp = stampOf(this.#files);
    let fresh: Line;
    try {
      fresh = this.#open(endpoint);
    } catch {
      // While files are being replaced one may be gone: the lines that stand are used on.
      return;
    }
    for (const line of this.#lines.values()) this.#left.add(line);
    this.#lines.clear();
    this.#lines.set(endpoint, fresh);
    this.#stamp = stamp ?? this.#stamp;
  }

  #endpoint(): Endpoint {
    const { endpoints } = this.#options;
    const endpoint = endpoints[this.#turn % endpoints.length];
    if (endpoint === undefined) throw new RangeError("address is empty");
    return endpoint;
  }

  #filesChanged(): boolean {
    const now = monotonic();
    if (this.#files.length === 0 || this.#lines.size === 0 || now < this.#lookedAt + LOOK_AT_FILES_SECONDS)
      return false;
    this.#lookedAt = now;
    const stamp = stampOf(this.#files);
    return stamp !== undefined && stamp !== this.#stamp;
  }

  #open(endpoint: Endpoint): Line {
    const { usesTls, maxMessageBytes, maxReceiveBytes } = this.#options;
    const baseUrl = originOf(endpoint, usesTls);
    const nodeOptions = usesTls ? this.#tls() : {};
    const sessionManager = new Http2SessionManager(
      baseUrl,
      // Without streams it is not pinged but verified before its next one: pinging an idle one would throw once it is lost.
      { pingIntervalMs: PING_EVERY_MS, pingTimeoutMs: PING_TIMEOUT_MS, pingIdleConnection: false },
      nodeOptions,
    );
    const transport = createGrpcTransport({
      baseUrl,
      nodeOptions,
      sessionManager,
      interceptors: [this.#credentials()],
      writeMaxBytes: maxMessageBytes,
      readMaxBytes: maxReceiveBytes,
    });
    return {
      transport,
      close: () => {
        sessionManager.abort();
      },
    };
  }

  #tls(): SecureClientSessionOptions {
    const { ca, cert, key, serverName } = this.#options;
    return {
      ...(ca === undefined ? {} : { ca: readFileSync(ca) }),
      ...(cert === undefined ? {} : { cert: readFileSync(cert) }),
      ...(key === undefined ? {} : { key: readFileSync(key) }),
      ...(serverName === undefined ? {} : { servername: serverName }),
    };
  }

  #credentials(): Interceptor {
    return (next) => (request) => {
      const header = this.#token.header();
      if (header !== undefined) request.header.set("authorization", header);
      request.header.set("user-agent", `protojobs-typescript/${VERSION}`);
      return next(request);
    };
  }
}

function stampOf(files: readonly string[]): string | undefined {
  try {
    return files.map((file) => String(statSync(file).mtimeMs)).join(" ");
  } catch {
    return undefined;
  }
}
