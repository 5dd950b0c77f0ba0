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
 * Opens lines to the servers of an address: the same one until it is lost or a certificate file has changed, then the
 * next. A line connects when it is first used.
 */
export class Dial {
  readonly #options: ResolvedOptions;
  readonly #token: Token;
  readonly #files: readonly string[];
  #line: Line | undefined;
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
    const standing = this.#line;
    if (standing !== undefined && !this.#filesChanged()) return standing;
    const stamp = stampOf(this.#files);
    try {
      this.#line = this.#open(this.#endpoint());
    } catch (error) {
      // While files are being replaced one may be gone: the line that stands is used on.
      if (standing === undefined) throw error;
      return standing;
    }
    this.#stamp = stamp ?? this.#stamp;
    if (standing !== undefined) this.#left.add(standing);
    return this.#line;
  }

  /** Goes on by the next server: this line's does not answer. Calls that are on the line end on it. */
  lost(line: Line): void {
    if (line !== this.#line || this.#options.endpoints.length === 1) return;
    this.#turn += 1;
    this.#left.add(line);
    this.#line = undefined;
  }

  /** Ends a line, with all calls on it: its server is silent. What follows goes by a fresh connection. */
  drop(line: Line): void {
    if (line === this.#line) {
      this.#turn += 1;
      this.#line = undefined;
    }
    this.#left.delete(line);
    line.close();
  }

  /** Ends every connection. */
  close(): void {
    this.#line?.close();
    for (const line of this.#left) line.close();
    this.#left.clear();
    this.#line = undefined;
  }

  #endpoint(): Endpoint {
    const { endpoints } = this.#options;
    const endpoint = endpoints[this.#turn % endpoints.length];
    if (endpoint === undefined) throw new RangeError("address is empty");
    return endpoint;
  }

  #filesChanged(): boolean {
    const now = monotonic();
    if (this.#files.length === 0 || now < this.#lookedAt + LOOK_AT_FILES_SECONDS) return false;
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
