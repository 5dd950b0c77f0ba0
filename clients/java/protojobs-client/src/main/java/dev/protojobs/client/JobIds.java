package dev.protojobs.client;

import com.fasterxml.uuid.Generators;
import com.fasterxml.uuid.UUIDClock;
import com.fasterxml.uuid.impl.TimeBasedEpochRandomGenerator;
import java.security.SecureRandom;
import java.time.Instant;
import java.time.format.DateTimeParseException;

/**
 * Makes job ids in the server's time.
 *
 * <p>A server refuses ids whose time part is far from its own clock; {@link #learn} takes its time
 * from that refusal.
 */
final class JobIds {
  private volatile long offsetMillis;
  private final TimeBasedEpochRandomGenerator generator =
      Generators.timeBasedEpochRandomGenerator(new SecureRandom(), new Shifted());

  String next() {
    return generator.generate().toString();
  }

  /**
   * Makes later ids as if the local clock had shown the server's time. False: the error does not
   * tell it.
   */
  boolean learn(ProtoJobsException error) {
    if (!error.reason().equals("JOB_ID_TIME")) {
      return false;
    }
    try {
      long server = Instant.parse(error.metadata().getOrDefault("server_time", "")).toEpochMilli();
      offsetMillis = server - System.currentTimeMillis();
      return true;
    } catch (DateTimeParseException untold) {
      return false;
    }
  }

  private final class Shifted extends UUIDClock {
    @Override
    public long currentTimeMillis() {
      return System.currentTimeMillis() + offsetMillis;
    }
  }
}
