import { writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { create } from "@bufbuild/protobuf";
import { Code, ConnectError, type ConnectRouter } from "@connectrpc/connect";
import { afterEach, describe, expect, test } from "vitest";

import { FakeServer, refusal, refusedItem, type Told } from "../../../testing/fake_server.js";
import {
  Client,
  DuplicateJobError,
  InvalidArgumentError,
  JobFailedError,
  JobNotFoundError,
  UnauthenticatedError,
  UnavailableError,
  type ClientOptions,
} from "../src/index.js";
import { DispatchOutcome, JobService, JobSpecSchema, JobState, type JobSpec } from "../src/proto.js";

const closing: { close(): Promise<void> }[] = [];

afterEach(async () => {
  for (const each of closing.splice(0).reverse()) await each.close();
});

async function serve(routes: (router: ConnectRouter) => void, address?: string): Promise<FakeServer> {
  const server = await FakeServer.start(routes, address);
  closing.push(server);
  return server;
}

function connect(address: string, options: ClientOptions = {}): Client {
  const client = new Client({ address, ...options });
  closing.push(client);
  return client;
}

/** Takes every dispatch, by call and by stream, once `refusals` are used up. */
class Store {
  readonly specs: JobSpec[] = [];
  readonly tokens: (string | null)[] = [];
  readonly refusals: ConnectError[] = [];

  readonly routes = (router: ConnectRouter): void => {
    router.service(JobService, {
      dispatch: ({ spec }, { requestHeader }) => {
        this.#take(spec === undefined ? [] : [spec], requestHeader);
        return { jobId: spec?.id ?? "", outcome: DispatchOutcome.CREATED, state: JobState.PENDING };
      },
      dispatchBatch: ({ specs }, { requestHeader }) => {
        this.#take(specs, requestHeader);
        return {
          results: specs.map((spec) => ({
            jobId: spec.id,
            result:
              spec.kind === "bad"
                ? {
                    case: "error",
                    value: refusedItem(Code.InvalidArgument, { reason: "INVALID_FIELD", fields: ["spec.kind"] }),
                  }
                : { case: "outcome", value: DispatchOutcome.CREATED },
          })),
        };
      },
      dispatchStream: async function* (requests, context) {
        yield { upToSeq: 0n, window: 1000 };
        for await (const { seq, specs } of requests) {
          take(specs, context.requestHeader);
          yield { upToSeq: seq, window: 1000 };
        }
      },
    });
    const take = this.#take.bind(this);
  };

  #take(specs: readonly JobSpec[], headers: Headers): void {
    this.specs.push(...specs);
    this.tokens.push(headers.get("authorization"));
    const refused = this.refusals.shift();
    if (refused !== undefined) throw refused;
  }
}

describe("a dispatch", () => {
  test.each([true, false])("is repeated under its id until a server takes it (streaming: %s)", async (streaming) => {
    const store = new Store();
    const client = connect((await serve(store.routes)).address, { streaming });
    store.refusals.push(refusal(Code.Unavailable, { reason: "DRAINING" }), new ConnectError("gone", Code.Unavailable));

    const { jobId, outcome } = await client.dispatch("send_email", { to: "ann" });

    expect(outcome).toBe("CREATED");
    expect(store.specs.map(({ id }) => id)).toEqual([jobId, jobId, jobId]);
  });

  test("shares one stream with those that are made at the same time", async () => {
    const store = new Store();
    const client = connect((await serve(store.routes)).address);

    const told = await Promise.all(Array.from({ length: 500 }, (_, n) => client.dispatch("noop", n)));

    expect(new Set(told.map(({ jobId }) => jobId)).size).toBe(500);
    expect(store.specs.map(({ id }) => id)).toEqual(told.map(({ jobId }) => jobId));
    expect(store.tokens.length).toBeLessThan(50);
  });

  test("goes by single calls where the server has no stream", async () => {
    const specs: JobSpec[] = [];
    const server = await serve((router) => {
      router.service(JobService, {
        dispatch: ({ spec }) => {
          if (spec !== undefined) specs.push(spec);
          return { jobId: spec?.id ?? "", outcome: DispatchOutcome.CREATED };
        },
      });
    });

    const { jobId } = await connect(server.address).dispatch("noop");

    expect(specs.map(({ id }) => id)).toEqual([jobId]);
  });

  test("that follows the answer of another one at once is served, too", async () => {
    const store = new Store();
    const client = connect((await serve(store.routes)).address, { streaming: false, callTimeout: 2 });
    const spec = create(JobSpecSchema, { kind: "noop" });

    for (let n = 0; n < 20; n += 1) await client.dispatchSpec(spec);

    expect(store.specs).toHaveLength(20);
  });

  test("waits for a server that comes back", async () => {
    const store = new Store();
    const first = await serve(store.routes);
    const client = connect(first.address);
    await client.dispatch("noop");
    await first.close();

    const told = client.dispatch("noop");
    await serve(store.routes, first.address);

    expect((await told).outcome).toBe("CREATED");
  });

  test("that no server takes in time is told as unavailable", async () => {
    const server = await serve(() => undefined);
    await server.close();
    const client = connect(server.address, { callTimeout: 0.5, dispatchDeadline: 0.4 });

    await expect(client.dispatch("noop")).rejects.toBeInstanceOf(UnavailableError);
  });

  test("learns the server's time from a refused id and tries once more", async () => {
    const store = new Store();
    const client = connect((await serve(store.routes)).address);
    const metadata = { server_time: "2030-01-01T00:00:00Z" };
    store.refusals.push(
      refusal(Code.InvalidArgument, { reason: "JOB_ID_TIME", metadata }),
      refusal(Code.InvalidArgument, { reason: "JOB_ID_TIME", metadata }),
    );

    const { jobId } = await client.dispatch("noop");

    expect(Number.parseInt(jobId.replace("-", "").slice(0, 12), 16)).toBeGreaterThanOrEqual(
      Date.parse(metadata.server_time),
    );
    expect(jobId).not.toBe(store.specs[0]?.id);
  });

  test("of many tells of each what became of it", async () => {
    const store = new Store();
    const client = connect((await serve(store.routes)).address);

    const results = await client.dispatchMany([{ kind: "good" }, { kind: "bad" }, { kind: "good" }]);

    expect(results.map((result) => ("error" in result ? result.error.violations[0]?.field : result.outcome))).toEqual([
      "CREATED",
      "spec.kind",
      "CREATED",
    ]);
  });

  test("of very many goes in batches that a server takes", async () => {
    const store = new Store();
    const client = connect((await serve(store.routes)).address);

    const results = await client.dispatchMany(Array.from({ length: 2500 }, () => ({ kind: "good" })));

    expect(results).toHaveLength(2500);
    expect(store.tokens).toHaveLength(3);
    expect(results.map(({ jobId }) => jobId).sort()).toEqual(store.specs.map(({ id }) => id).sort());
  });
});

describe("an error", () => {
  async function fails(code: Code, told: Told): Promise<unknown> {
    const server = await serve((router) => {
      router.service(JobService, {
        getJob: () => {
          throw refusal(code, told);
        },
      });
    });
    return connect(server.address)
      .get("01990000-0000-7000-8000-000000000001")
      .catch((error: unknown) => error);
  }

  test("has a class of its own by its reason", async () => {
    expect(await fails(Code.NotFound, { reason: "JOB_NOT_FOUND" })).toBeInstanceOf(JobNotFoundError);
  });

  test("tells what belongs to its reason", async () => {
    const error = await fails(Code.AlreadyExists, { reason: "DUPLICATE_JOB", metadata: { job_id: "other" } });

    expect(error).toBeInstanceOf(DuplicateJobError);
    expect(error).toMatchObject({ jobId: "other", status: "ALREADY_EXISTS" });
  });

  test("names the fields that were refused", async () => {
    const error = await fails(Code.InvalidArgument, { reason: "INVALID_FIELD", fields: ["spec.labels[a]"] });

    expect(error).toBeInstanceOf(InvalidArgumentError);
    expect(error).toMatchObject({ violations: [{ field: "spec.labels[a]", description: "is wrong" }] });
  });

  test("of a later version keeps its reason", async () => {
    expect(await fails(Code.FailedPrecondition, { reason: "OF_LATER" })).toMatchObject({
      reason: "OF_LATER",
      status: "FAILED_PRECONDITION",
      retryable: false,
    });
  });

  test("that names a wait is tried again after it", async () => {
    let calls = 0;
    const server = await serve((router) => {
      router.service(JobService, {
        getJob: () => {
          calls += 1;
          if (calls === 1) throw refusal(Code.ResourceExhausted, { reason: "OVERLOADED", retryAfterMs: 20 });
          return { job: { id: "a", state: JobState.COMPLETED } };
        },
      });
    });

    expect((await connect(server.address).get("a")).state).toBe("COMPLETED");
    expect(calls).toBe(2);
  });
});

describe("a wait", () => {
  test("asks until the job is final and returns its result", async () => {
    let calls = 0;
    const server = await serve((router) => {
      router.service(JobService, {
        waitJob: () => {
          calls += 1;
          if (calls === 1) return { done: false, job: { state: JobState.RUNNING } };
          return { done: true, job: { state: JobState.COMPLETED, result: Buffer.from('{"n":1}') } };
        },
      });
    });

    expect(await connect(server.address).wait("a")).toEqual({ n: 1 });
  });

  test("throws how the job ended where it has no result", async () => {
    const server = await serve((router) => {
      router.service(JobService, {
        waitJob: () => ({
          done: true,
          job: { id: "a", state: JobState.FAILED, lastError: { type: "E", message: "why" } },
        }),
      });
    });

    const error = await connect(server.address)
      .wait("a")
      .catch((thrown: unknown) => thrown);

    expect(error).toBeInstanceOf(JobFailedError);
    expect(error).toMatchObject({ message: "job a is FAILED: why", job: { id: "a" } });
  });
});

describe("a signal", () => {
  test("that is aborted ends a wait with its reason", async () => {
    const server = await serve((router) => {
      router.service(JobService, { waitJob: () => new Promise(() => undefined) });
    });
    const abort = new AbortController();
    const reason = new Error("enough");

    const wait = connect(server.address).wait("a", { signal: abort.signal });
    abort.abort(reason);

    await expect(wait).rejects.toBe(reason);
  });
});

describe("a token file", () => {
  test("is read again for the calls after it has changed", async () => {
    const store = new Store();
    const server = await serve(store.routes);
    const tokenFile = join(tmpdir(), `protojobs-token-${String(process.pid)}`);
    writeFileSync(tokenFile, "first\n");
    const client = connect(server.address, { tokenFile, streaming: false });
    await client.dispatch("noop");
    writeFileSync(tokenFile, "second and longer\n");

    await client.dispatch("noop");

    expect(store.tokens).toEqual(["Bearer first", "Bearer second and longer"]);
  });

  test("that is missing is told as missing credentials", async () => {
    const server = await serve(new Store().routes);
    const client = connect(server.address, { tokenFile: "/no/such/file", streaming: false });

    await expect(client.dispatch("noop")).rejects.toBeInstanceOf(UnauthenticatedError);
  });
});

describe("watching", () => {
  test("a server that never answers is given up as a call is", async () => {
    const server = await serve((router) => {
      router.service(JobService, {
        watchJobs: async function* () {
          await new Promise(() => undefined);
        },
      });
    });

    const events = connect(server.address, { callTimeout: 0.2 }).watchJobs();

    await expect(events.begin()).rejects.toThrow("the stream is silent");
  });

  test("goes on behind the last cursor where the stream was lost", async () => {
    const cursors: string[] = [];
    const event = (name: string): object => ({ type: "job.processed", cursor: Buffer.from(name), job: { id: name } });
    const server = await serve((router) => {
      router.service(JobService, {
        watchJobs: async function* ({ cursor }) {
          cursors.push(Buffer.from(cursor).toString());
          yield { cursor: Buffer.from("begin"), events: [] };
          yield { cursor: Buffer.from("x"), events: [event(cursors.length === 1 ? "one" : "two")] };
          if (cursors.length === 1) throw new ConnectError("gone", Code.Unavailable);
          await new Promise(() => undefined);
        },
      });
    });
    const events = connect(server.address).watchJobs();

    const first = await events.next();
    const second = await events.next();
    events.close();

    expect([first.value?.job.id, second.value?.job.id]).toEqual(["one", "two"]);
    expect(cursors).toEqual(["", "one"]);
  });
});
