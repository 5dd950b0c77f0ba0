import { afterEach, beforeEach, describe, expect, test } from "vitest";

import { FakeLeases, leased } from "../../../testing/fake_leases.js";
import { FakeServer } from "../../../testing/fake_server.js";
import { plainCodec, silentLogger } from "../../client/src/index.js";
import { Connection, monotonic, resolveOptions } from "../../client/src/connecting.js";
import { Executor } from "../src/executor.js";
import { Hooks } from "../src/hooks.js";
import { resolveWorkerOptions } from "../src/options.js";
import { Registry } from "../src/registry.js";
import { Session } from "../src/session.js";

let now: number;
let leases: FakeLeases;
let server: FakeServer;
let session: Session;
let stopped: unknown[];
let running: Promise<void>;

beforeEach(async () => {
  now = monotonic();
  stopped = [];
  leases = new FakeLeases();
  server = await FakeServer.start(leases.routes);
  const connection = new Connection(resolveOptions(server.address, {}));
  const registry = new Registry();
  const waits = ({ signal }: { readonly signal: AbortSignal }): Promise<void> =>
    new Promise((resolve) => {
      signal.addEventListener("abort", () => {
        stopped.push(signal.reason);
        resolve();
      });
    });
  registry.add("waits", waits, {}, plainCodec);
  const hooks = new Hooks(silentLogger);
  const executor = new Executor(registry, hooks, () => undefined, silentLogger, 5);
  const options = resolveWorkerOptions({ queues: ["main"] });
  const kinds = registry.kinds();
  const clock = (): number => now;
  session = new Session({ options, kinds, executor, hooks, logger: silentLogger, clock, uniform: (low) => low });
  running = session.run({
    open: (requests, signal) => connection.current().stubs.leases.lease(requests, { signal }),
    lost: () => undefined,
  });
});

afterEach(async () => {
  session.leave("SIGNAL");
  session.leave("KILLED");
  now += 60;
  session.upkeep();
  await running;
  await server.close();
});

describe("an event loop that turns slowly", () => {
  test("lets heartbeats go out at every turn", async () => {
    const stream = await leases.stream();
    await stream.welcome({}, 30, 1000);
    stream.deliver(leased("waits"));
    await stream.expect("ping", ({ startedSeq }) => startedSeq === 1n);

    for (let turn = 0; turn < 5; turn += 1) {
      now += 1.5;
      const number = stream.send({ case: "pong", value: { storeOk: true } });
      session.upkeep();
      await stream.expect("ping", ({ receivedSeq }) => receivedSeq <= number);
    }
    expect(stopped).toEqual([]);
  });

  test("does not keep a worker from stopping its handlers before others may run their jobs", async () => {
    const stream = await leases.stream();
    await stream.welcome({}, 30, 10_000);
    stream.deliver(leased("waits"));
    await stream.expect("ping", ({ startedSeq }) => startedSeq === 1n);

    for (let turn = 0; turn < 13; turn += 1) {
      now += 2;
      session.upkeep();
    }

    expect(stopped).toMatchObject([{ reason: "LEASE_LOST" }]);
  });
});

test("a server that falls silent again on the same stream stops handlers again", async () => {
  const stream = await leases.stream();
  await stream.welcome({}, 30, 10_000);

  for (const number of [1n, 2n]) {
    const job = leased("waits");
    stream.deliver(job);
    await stream.expect("ping", ({ startedSeq }) => startedSeq === number);
    for (let turn = 0; turn < 13; turn += 1) {
      now += 2;
      session.upkeep();
    }
    stream.answer(await stream.settling(job.jobId));
  }

  expect(stopped).toMatchObject([{ reason: "LEASE_LOST" }, { reason: "LEASE_LOST" }]);
});

test("a worker that has nothing left opens no stream after one that the server ends", async () => {
  const stream = await leases.stream();
  session.leave("SIGNAL");

  stream.end();

  expect(await Promise.race([running.then(() => "over"), leases.stream()])).toBe("over");
});
