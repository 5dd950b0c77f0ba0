package dev.protojobs.worker;

import dev.protojobs.client.Times;
import dev.protojobs.v1.LeaseLimits;
import dev.protojobs.v1.Welcome;
import java.time.Duration;

/** What the server said in Welcome, with defaults for what it left out. Times in nanoseconds. */
record Limits(
    long ttl,
    long heartbeat,
    int maxResultBytes,
    int maxCheckpointBytes,
    int maxFrameBytes,
    int maxInFlight) {
  static final int FRAME_BYTES = 1024 * 1024;
  static final int CHECKPOINT_BYTES = 64 * 1024;
  static final Limits DEFAULT =
      new Limits(
          Duration.ofSeconds(30).toNanos(),
          Duration.ofMillis(7500).toNanos(),
          256 * 1024,
          CHECKPOINT_BYTES,
          FRAME_BYTES,
          WorkerOptions.MAX_WINDOW);

  /** Nanoseconds between two looks at what only time brings about. */
  long tick() {
    return Math.min(Duration.ofMillis(250).toNanos(), heartbeat / 4);
  }

  static Limits of(Welcome welcome) {
    LeaseLimits told = welcome.getLimits();
    long received =
        told.getMaxReceiveBytes() == 0
            ? 2L * FRAME_BYTES
            : Integer.toUnsignedLong(told.getMaxReceiveBytes());
    return new Limits(
        welcome.hasSessionTtl() ? Times.read(welcome.getSessionTtl()).toNanos() : DEFAULT.ttl,
        welcome.hasHeartbeatInterval()
            ? Times.read(welcome.getHeartbeatInterval()).toNanos()
            : DEFAULT.heartbeat,
        or(told.getMaxResultBytes(), DEFAULT.maxResultBytes),
        or(told.getMaxCheckpointBytes(), DEFAULT.maxCheckpointBytes),
        (int) Math.min(FRAME_BYTES, received / 2),
        or(told.getMaxInFlight(), DEFAULT.maxInFlight));
  }

  private static int or(int told, int otherwise) {
    return told > 0 ? told : otherwise;
  }
}
