package dev.protojobs.client;

import io.opentelemetry.api.baggage.propagation.W3CBaggagePropagator;
import io.opentelemetry.api.trace.propagation.W3CTraceContextPropagator;
import io.opentelemetry.context.Context;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;

/**
 * Puts the trace context of the producer into the headers of a job (W3C Trace Context, by
 * OpenTelemetry).
 */
public final class TraceFields {
  private TraceFields() {}

  /**
   * Returns what the current context says; nothing where OpenTelemetry is not on the class path.
   *
   * @param baggage keys of baggage that may travel
   */
  public static Map<String, String> current(List<String> baggage) {
    return Standard.TRACES ? Present.inject(baggage) : Map.of();
  }

  /** Loaded only where its library is there. */
  private static final class Present {
    static Map<String, String> inject(List<String> baggage) {
      Context context = Context.current();
      if (context == Context.root()) {
        return Map.of();
      }
      Map<String, String> fields = new HashMap<>();
      W3CTraceContextPropagator.getInstance().inject(context, fields, Map::put);
      if (!baggage.isEmpty()) {
        W3CBaggagePropagator.getInstance().inject(context, fields, Map::put);
        fields.computeIfPresent("baggage", (name, entries) -> allowed(entries, baggage));
      }
      return fields;
    }

    private static String allowed(String entries, List<String> keys) {
      String left =
          Arrays.stream(entries.split(","))
              .filter(entry -> keys.contains(entry.split("=", 2)[0].strip()))
              .collect(Collectors.joining(","));
      return left.isEmpty() ? null : left;
    }
  }
}
