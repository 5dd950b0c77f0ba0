package dev.protojobs.client;

import com.google.protobuf.Timestamp;
import java.time.Duration;
import java.time.Instant;

/** Turns times and spans of the contract into those of Java and back. */
public final class Times {
  private Times() {}

  /**
   * Returns the message of a span of time.
   *
   * @param span any span
   */
  public static com.google.protobuf.Duration write(Duration span) {
    return com.google.protobuf.Duration.newBuilder()
        .setSeconds(span.getSeconds())
        .setNanos(span.getNano())
        .build();
  }

  /**
   * Returns the message of a moment, to the microsecond: that is what servers keep.
   *
   * @param moment any moment
   */
  public static Timestamp write(Instant moment) {
    return Timestamp.newBuilder()
        .setSeconds(moment.getEpochSecond())
        .setNanos(moment.getNano() / 1000 * 1000)
        .build();
  }

  /**
   * Returns the span of a message.
   *
   * @param span as the server sent it
   */
  public static Duration read(com.google.protobuf.Duration span) {
    return Duration.ofSeconds(span.getSeconds(), span.getNanos());
  }

  /**
   * Returns the moment of a message.
   *
   * @param moment as the server sent it
   */
  public static Instant read(Timestamp moment) {
    return Instant.ofEpochSecond(moment.getSeconds(), moment.getNanos());
  }
}
