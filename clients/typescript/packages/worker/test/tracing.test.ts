import { context, propagation, trace } from "@opentelemetry/api";
import { AsyncLocalStorageContextManager } from "@opentelemetry/context-async-hooks";
import { W3CTraceContextPropagator } from "@opentelemetry/core";
import { BasicTracerProvider, InMemorySpanExporter, SimpleSpanProcessor } from "@opentelemetry/sdk-trace-base";
import { afterEach, beforeEach, expect, test } from "vitest";

import { FakeLeases, leased } from "../../../testing/fake_leases.js";
import { FakeServer } from "../../../testing/fake_server.js";
import { Client } from "../../client/src/index.js";
import { DispatchOutcome, JobService } from "../../client/src/proto.js";
import { Worker, type WorkerOptions } from "../src/index.js";
import { Tracing } from "../src/tracing.js";

const TRACE_ID = "0af7651916cd43dd8448eb211c80319c";
const HEADERS = { traceparent: `00-${TRACE_ID}-b7ad6b7169203331-01` };

let exporter: InMemorySpanExporter;

beforeEach(() => {
  exporter = new InMemorySpanExporter();
  context.setGlobalContextManager(new AsyncLocalStorageContextManager());
  propagation.setGlobalPropagator(new W3CTraceContextPropagator());
  trace.setGlobalTracerProvider(new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] }));
});

afterEach(() => {
  trace.disable();
  propagation.disable();
  context.disable();
});

test("a dispatch puts the caller's trace into the headers of its job", async () => {
  const headers: Record<string, string>[] = [];
  const server = await FakeServer.start((router) => {
    router.service(JobService, {
      dispatch: ({ spec }) => {
        headers.push(spec?.headers ?? {});
        return { jobId: spec?.id ?? "", outcome: DispatchOutcome.CREATED };
      },
    });
  });
  const client = new Client({ address: server.address, streaming: false });

  const traceId = await trace.getTracer("test").startActiveSpan("caller", async (span) => {
    await client.dispatch("send_email", null, { queue: "mail" });
    span.end();
    return span.spanContext().traceId;
  });
  await client.close();
  await server.close();

  const sent = exporter.getFinishedSpans().find(({ name }) => name === "dispatch mail");
  expect(headers[0]?.traceparent).toBe(`00-${traceId}-${sent?.spanContext().spanId ?? ""}-01`);
});

async function runOne(options: WorkerOptions): Promise<string | undefined> {
  const leases = new FakeLeases();
  const server = await FakeServer.start(leases.routes);
  const worker = new Worker({ address: server.address, queues: ["main"], ...options });
  let seen: string | undefined;
  worker.handle("noop", async () => {
    await Promise.resolve();
    seen = trace.getActiveSpan()?.spanContext().traceId;
  });
  const ended = worker.serve();
  const stream = await leases.stream();
  await stream.welcome();
  const job = leased("noop");
  if (job.spec !== undefined) job.spec.headers = HEADERS;
  stream.deliver(job);
  stream.answer(await stream.settling(job.jobId));
  worker.stop();
  await stream.left();
  stream.end();
  await ended;
  await server.close();
  return seen;
}

test("a handler runs in a span of its own that links to the dispatch", async () => {
  const seen = await runOne({});

  const [span] = exporter.getFinishedSpans();
  expect(span?.name).toBe("process main");
  expect(seen).toBe(span?.spanContext().traceId);
  expect(seen).not.toBe(TRACE_ID);
  expect(span?.links.map(({ context: linked }) => linked.traceId)).toEqual([TRACE_ID]);
});

test("a span that cannot be ended costs no job its outcome", async () => {
  const broken = {
    onStart: () => undefined,
    onEnd: () => {
      throw new Error("the exporter is broken");
    },
    forceFlush: () => Promise.resolve(),
    shutdown: () => Promise.resolve(),
  };
  trace.disable();
  trace.setGlobalTracerProvider(new BasicTracerProvider({ spanProcessors: [broken] }));

  expect(await runOne({})).toBeDefined();
});

test("a handler may go on with the trace of the dispatch", async () => {
  expect(await runOne({ traceParent: "continue" })).toBe(TRACE_ID);
});

test("tracing is idle where the application has the API alone, until it has an SDK or a propagator", async () => {
  const tracing = await Tracing.ifInstalled("worker", false);
  const idle = [tracing?.isIdle];

  trace.disable();
  idle.push(tracing?.isIdle);
  propagation.disable();
  idle.push(tracing?.isIdle);
  trace.setGlobalTracerProvider(new BasicTracerProvider());
  idle.push(tracing?.isIdle);

  expect(idle).toEqual([false, false, true, false]);
});
