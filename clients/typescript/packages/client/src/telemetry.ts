import type * as OpenTelemetry from "@opentelemetry/api";

import { VERSION } from "./version.js";

type Api = typeof OpenTelemetry;

const BAGGAGE = "baggage";

// Begun when the module is loaded, so that hardly any call has to wait: the package is an optional peer.
const loading: Promise<Api | undefined> = import("@opentelemetry/api").then(
  (api) => api,
  () => undefined,
);

/** Returns OpenTelemetry's API; undefined where the application has not installed it. */
export function openTelemetry(): Promise<Api | undefined> {
  return loading;
}

/** What the headers of a job say of its trace, and the span of the operation that sends it. */
export interface Sending {
  readonly trace: Readonly<Record<string, string>>;
  /** Ends the span; an error marks it. */
  ended(error?: unknown): void;
}

const UNTRACED: Sending = { trace: {}, ended: () => undefined };

/**
 * Begins the span of a dispatch, as a child of the caller's, and reads the trace context that its jobs carry
 * (W3C Trace Context by the application's propagator). Baggage travels only with the keys named.
 */
export async function beginSending(
  name: string,
  queue: string,
  jobs: number,
  baggageKeys: readonly string[],
): Promise<Sending> {
  const api = await openTelemetry();
  if (api === undefined) return UNTRACED;
  const { context, propagation, SpanKind, SpanStatusCode, trace } = api;
  const tracer = trace.getTracer("@protojobs/client", VERSION);
  const span: OpenTelemetry.Span = tracer.startSpan(`${name} ${queue}`, {
    kind: SpanKind.PRODUCER,
    attributes: {
      "messaging.system": "protojobs",
      "messaging.operation.name": name,
      "messaging.operation.type": "send",
      "messaging.destination.name": queue,
      ...(jobs > 1 ? { "messaging.batch.message_count": jobs } : {}),
    },
  });
  const carrier: Record<string, string> = {};
  propagation.inject(trace.setSpan(context.active(), span), carrier);
  return {
    trace: allowed(carrier, baggageKeys),
    ended: (error) => {
      if (error !== undefined) {
        span.setAttribute("error.type", error instanceof Error ? error.name : "unknown");
        span.setStatus({ code: SpanStatusCode.ERROR });
      }
      span.end();
    },
  };
}

/** Baggage may hold what no store should. */
function allowed(carrier: Record<string, string>, keys: readonly string[]): Readonly<Record<string, string>> {
  const { [BAGGAGE]: baggage, ...fields } = carrier;
  if (baggage === undefined) return fields;
  const kept = baggage.split(",").filter((entry) => keys.includes((entry.split("=", 1)[0] ?? "").trim()));
  return kept.length === 0 ? fields : { ...fields, [BAGGAGE]: kept.join(",") };
}
