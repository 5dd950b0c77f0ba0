import { createServer, type Http2Server, type ServerHttp2Session } from "node:http2";
import type { AddressInfo } from "node:net";

import { create, type DescMessage, type MessageInitShape } from "@bufbuild/protobuf";
import { anyPack } from "@bufbuild/protobuf/wkt";
import { ConnectError, type Code, type ConnectRouter } from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";

import {
  BadRequestSchema,
  ErrorInfoSchema,
  RetryInfoSchema,
} from "../packages/client/src/gen/google/rpc/error_details_pb.js";
import { StatusSchema, type Status } from "../packages/client/src/gen/google/rpc/status_pb.js";

/** A gRPC server in this process that answers as a test says. */
export class FakeServer {
  readonly address: string;
  readonly #server: Http2Server;
  readonly #sessions: ReadonlySet<ServerHttp2Session>;

  private constructor(server: Http2Server, sessions: ReadonlySet<ServerHttp2Session>) {
    this.#server = server;
    this.#sessions = sessions;
    this.address = `127.0.0.1:${String((server.address() as AddressInfo).port)}`;
  }

  /** Serves these routes on a free port, or on that of an address. */
  static async start(routes: (router: ConnectRouter) => void, address = "127.0.0.1:0"): Promise<FakeServer> {
    const server = createServer(connectNodeAdapter({ routes }));
    const sessions = new Set<ServerHttp2Session>();
    server.on("session", (session) => {
      sessions.add(session);
      session.on("close", () => sessions.delete(session));
    });
    await new Promise<void>((resolve) => server.listen(Number(address.split(":")[1]), "127.0.0.1", resolve));
    return new FakeServer(server, sessions);
  }

  /** Breaks every connection. */
  disconnect(): void {
    for (const session of this.#sessions) session.destroy();
  }

  /** Ends it, and every connection. */
  async close(): Promise<void> {
    const closed = new Promise<void>((resolve) => {
      this.#server.close(() => {
        resolve();
      });
    });
    this.disconnect();
    await closed;
  }
}

/** What an error of the server tells besides its code. */
export interface Told {
  readonly reason: string;
  readonly metadata?: Record<string, string>;
  readonly fields?: readonly string[];
  readonly retryAfterMs?: number;
}

/** Returns an error as a server of Proto Jobs sends it. */
export function refusal(code: Code, told: Told): ConnectError {
  return new ConnectError(
    told.reason,
    code,
    undefined,
    detailsOf(told).map(({ desc, value }) => ({ desc, value })),
  );
}

/** Returns the same for an item of a batch. */
export function refusedItem(code: Code, told: Told): Status {
  const details = detailsOf(told).map(({ desc, value }) => anyPack(desc, create(desc, value)));
  return create(StatusSchema, { code, message: told.reason, details });
}

interface Detail {
  readonly desc: DescMessage;
  readonly value: MessageInitShape<DescMessage>;
}

function detailsOf({ reason, metadata = {}, fields = [], retryAfterMs }: Told): Detail[] {
  const info = { desc: ErrorInfoSchema, value: { reason, domain: "protojobs.dev", metadata } };
  const violations = fields.map((field) => ({ field, description: "is wrong" }));
  return [
    info,
    ...(fields.length > 0 ? [{ desc: BadRequestSchema, value: { fieldViolations: violations } }] : []),
    ...(retryAfterMs === undefined
      ? []
      : [{ desc: RetryInfoSchema, value: { retryDelay: { seconds: 0n, nanos: retryAfterMs * 1_000_000 } } }]),
  ];
}

/** A queue between a server's handlers and a test: `take` waits for what `put` brings. */
export class Channel<T> {
  readonly #items: T[] = [];
  readonly #takers: ((item: T) => void)[] = [];

  put(item: T): void {
    const taker = this.#takers.shift();
    if (taker === undefined) this.#items.push(item);
    else taker(item);
  }

  take(): Promise<T> {
    const [item] = this.#items.splice(0, 1);
    if (item !== undefined) return Promise.resolve(item);
    return new Promise((resolve) => this.#takers.push(resolve));
  }
}
