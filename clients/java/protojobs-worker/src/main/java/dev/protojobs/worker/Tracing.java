package dev.protojobs.worker;

import dev.protojobs.v1.JobSpec;
import io.opentelemetry.api.GlobalOpenTelemetry;
import io.opentelemetry.api.trace.SpanContext;
import io.opentelemetry.api.trace.SpanKind;
import io.opentelemetry.api.trace.StatusCode;
import io.opentelemetry.api.trace.propagation.W3CTraceContextPropagator;
import io.opentelemetry.context.Context;
import io.opentelemetry.context.Scope;
import io.opentelemetry.context.propagation.TextMapGetter;
import java.util.Map;

/**
 * A CONSUMER span around each handler, linked to the span that dispatched the job. Only where
 * OpenTelemetry is on the class path and the application has set it up; a worker without it never
 * looks at headers.
 */
final class Tracing {
  private static final boolean THERE = isThere();

  private Tracing() {}

  private static boolean isThere() {
    try {
      Class.forName(
          "io.opentelemetry.api.GlobalOpenTelemetry", false, Tracing.class.getClassLoader());
      return true;
    } catch (ClassNotFoundException | LinkageError absent) {
      return false;
    }
  }

  /** The span of one attempt, current on its thread until it is closed. */
  interface Span extends AutoCloseable {
    Span NONE = outcome -> {};

    void ended(Outcome outcome);

    @Override
    default void close() {}
  }

  static Span enter(Attempt attempt) {
    return THERE && Present.isSet() ? Present.enter(attempt) : Span.NONE;
  }

  /** Loaded only where its library is there. */
  private static final class Present {
    static boolean isSet() {
      return GlobalOpenTelemetry.isSet();
    }

    static Span enter(Attempt attempt) {
      JobSpec spec = attempt.job().getSpec();
      io.opentelemetry.api.trace.SpanBuilder builder =
          GlobalOpenTelemetry.getTracer("dev.protojobs.worker")
              .spanBuilder("process " + spec.getQueue())
              .setNoParent()
              .setSpanKind(SpanKind.CONSUMER)
              .setAttribute("messaging.system", "protojobs")
              .setAttribute("messaging.operation.name", "process")
              .setAttribute("messaging.operation.type", "process")
              .setAttribute("messaging.destination.name", spec.getQueue())
              .setAttribute("messaging.message.id", attempt.lease.jobId());
      SpanContext origin = origin(spec.getHeadersMap());
      if (origin.isValid()) {
        builder.addLink(origin);
      }
      io.opentelemetry.api.trace.Span span = builder.startSpan();
      Scope scope = span.makeCurrent();
      return new Span() {
        @Override
        public void ended(Outcome outcome) {
          if (outcome instanceof Outcome.Failed failed) {
            span.setAttribute("error.type", failed.error().getType());
            span.setStatus(StatusCode.ERROR, failed.error().getMessage());
          }
        }

        @Override
        public void close() {
          scope.close();
          span.end();
        }
      };
    }

    private static SpanContext origin(Map<String, String> headers) {
      Context context =
          W3CTraceContextPropagator.getInstance().extract(Context.root(), headers, new Headers());
      return io.opentelemetry.api.trace.Span.fromContext(context).getSpanContext();
    }

    private static final class Headers implements TextMapGetter<Map<String, String>> {
      @Override
      public String get(Map<String, String> headers, String name) {
        return headers == null ? null : headers.get(name);
      }
    }
  }
}
