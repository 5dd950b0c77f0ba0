import type { Context, Span } from "@opentelemetry/api";
import { openTelemetry } from "@protojobs/client/connecting";

import type { Attempt } from "./attempt.js";
import type { Outcome } from "./outcomes.js";
import { VERSION } from "./version.js";

type Api = NonNullable<Awaited<ReturnType<typeof openTelemetry>>>;

const TRACER = ["@protojobs/worker", VERSION] as const;

/** A handler's span, and how to run the handler within it. */
export interface Traced {
  run<T>(work: () => T): T;
  ended(outcome: Outcome): void;
}

/**
 * A CONSUMER span around each handler, linked to the span that created the job or within its trace (messaging
 * conventions of OpenTelemetry).
 */
export class Tracing {
  readonly #api: Api;
  readonly #worker: string;
  readonly #continues: boolean;

  constructor(api: Api, worker: string, continues: boolean) {
    this.#api = api;
    this.#worker = worker;
    this.#continues = continues;
  }

  /** Returns undefined where the application has not installed OpenTelemetry's API. */
  static async ifInstalled(worker: string, continues: boolean): Promise<Tracing | undefined> {
    const api = await openTelemetry();
    return api === undefined ? undefined : new Tracing(api, worker, continues);
  }

  /** Nobody listens: the application has the API and no SDK, as through a library that it uses. */
  get isIdle(): boolean {
    const { propagation, ProxyTracerProvider, trace } = this.#api;
    const provider = trace.getTracerProvider();
    return (
      provider instanceof ProxyTracerProvider &&
      provider.getDelegateTracer(...TRACER) === undefined &&
      propagation.fields().length === 0
    );
  }

  /** Starts the span of an attempt. */
  begin(attempt: Attempt): Traced {
    const { context, propagation, ROOT_CONTEXT, SpanKind, trace } = this.#api;
    const { lease, job } = attempt;
    const { spec } = job.message;
    const queue = spec?.queue ?? "";
    const origin = propagation.extract(ROOT_CONTEXT, spec?.headers ?? {});
    const created = trace.getSpanContext(origin);
    const linked = !this.#continues && created !== undefined ? { links: [{ context: created }] } : {};
    const span = trace.getTracer(...TRACER).startSpan(
      `process ${queue}`,
      {
        kind: SpanKind.CONSUMER,
        attributes: {
          "messaging.system": "protojobs",
          "messaging.operation.name": "process",
          "messaging.operation.type": "process",
          "messaging.destination.name": queue,
          "messaging.message.id": lease.jobId,
          "messaging.client.id": this.#worker,
          "protojobs.kind": attempt.handler.kind,
          "protojobs.attempt": lease.attempt,
        },
        ...linked,
      },
      // From nothing: whoever runs the worker is not the parent.
      this.#continues ? origin : ROOT_CONTEXT,
    );
    const within: Context = trace.setSpan(origin, span);
    const carrier: Record<string, string> = {};
    propagation.inject(within, carrier);
    attempt.trace = carrier;
    return {
      run: (work) => context.with(within, work),
      ended: (outcome) => {
        this.#end(span, outcome);
      },
    };
  }

  #end(span: Span, outcome: Outcome): void {
    if (outcome.kind === "failed") {
      span.setAttribute("error.type", outcome.error.type);
      span.setStatus({ code: this.#api.SpanStatusCode.ERROR, message: outcome.error.message });
    }
    span.end();
  }
}
