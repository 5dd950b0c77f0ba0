package dev.protojobs.client;

import java.time.Duration;
import java.util.Optional;
import java.util.random.RandomGenerator;

/**
 * Decides whether and when an error is retried: when the server says, else with full jitter from
 * 0.1 s up to 2 s.
 */
final class Backoff {
  private static final long FIRST_MILLIS = 100;
  private static final long LONGEST_MILLIS = 2_000;

  private final RandomGenerator random;
  private long ceiling = FIRST_MILLIS;

  Backoff(RandomGenerator random) {
    this.random = random;
  }

  /** Returns the wait; empty where no retry can help. */
  Optional<Duration> after(ProtoJobsException error) {
    if (!error.isRetryable()) {
      return Optional.empty();
    }
    if (error.retryDelay().isPresent()) {
      return error.retryDelay();
    }
    long wait = random.nextLong(ceiling + 1);
    ceiling = Math.min(ceiling * 2, LONGEST_MILLIS);
    return Optional.of(Duration.ofMillis(wait));
  }
}
