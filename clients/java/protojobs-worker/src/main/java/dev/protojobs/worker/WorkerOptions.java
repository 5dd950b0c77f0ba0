package dev.protojobs.worker;

import java.nio.file.Path;
import java.time.Duration;
import java.util.Map;

/**
 * Every knob of a worker; {@link Worker.Builder} says what they mean. Null where there is no bound.
 */
record WorkerOptions(
    String name,
    Map<String, Integer> queues,
    boolean strict,
    int slots,
    Integer window,
    Duration sessionTtl,
    Duration grace,
    Duration stopGrace,
    int stuckLimit,
    boolean untilEmpty,
    Duration emptyGrace,
    Long maxJobs,
    Long maxMemory,
    Duration maxLifetime,
    Path healthFile,
    Duration unhealthyAfter) {
  static final int MAX_WINDOW = 100_000;

  WorkerOptions {
    require(!queues.isEmpty() && queues.size() <= 100, "a worker reads 1 to 100 queues");
    require(
        queues.values().stream().allMatch(weight -> weight >= 1 && weight <= 1000),
        "weights are 1 to 1000");
    require(slots >= 1 && slots <= MAX_WINDOW, "slots are 1 to " + MAX_WINDOW);
    require(
        window == null || (window >= 1 && window <= MAX_WINDOW), "window is 1 to " + MAX_WINDOW);
    require(
        sessionTtl == null || (sessionTtl.toMillis() >= 2_000 && sessionTtl.toMillis() <= 600_000),
        "the session's ttl is 2 s to 10 min");
    require(!grace.isNegative() && !stopGrace.isNegative(), "graces are at least 0 s");
    require(maxJobs == null || maxJobs >= 1, "max jobs is at least 1");
  }

  private static void require(boolean holds, String otherwise) {
    if (!holds) {
      throw new IllegalArgumentException(otherwise);
    }
  }
}
