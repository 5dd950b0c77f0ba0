package dev.protojobs.worker;

import com.google.protobuf.ByteString;
import dev.protojobs.v1.JobError;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.charset.StandardCharsets;
import java.time.Duration;

/** Describes failures, each part cut to what the contract stores. */
final class Errors {
  static final int MAX_TYPE_BYTES = 256;
  static final int MAX_MESSAGE_BYTES = 4 * 1024;
  static final int MAX_STACK_BYTES = 16 * 1024;
  static final int MAX_PROGRESS_BYTES = 1024;

  private Errors() {}

  static JobError of(Throwable error) {
    String type =
        error instanceof JobFailureException failure ? failure.type() : error.getClass().getName();
    return of(type, text(error), stack(error));
  }

  static JobError of(String type, String message, String stack) {
    return JobError.newBuilder()
        .setType(cut(type, MAX_TYPE_BYTES))
        .setMessage(cut(message, MAX_MESSAGE_BYTES))
        .setStack(cut(stack, MAX_STACK_BYTES))
        .build();
  }

  static JobError timedOut(Duration timeout) {
    return of("TIMEOUT", "run timeout of " + timeout.toNanos() / 1e9 + " s passed", "");
  }

  private static String text(Throwable error) {
    try {
      return error.getMessage() == null ? "" : error.getMessage();
    } catch (RuntimeException broken) {
      // A broken getMessage must not hide the failure itself.
      return "(the error cannot be shown)";
    }
  }

  private static String stack(Throwable error) {
    StringWriter text = new StringWriter();
    try {
      error.printStackTrace(new PrintWriter(text));
    } catch (RuntimeException broken) {
      return "";
    }
    return text.toString();
  }

  /** Cuts to so many bytes of UTF-8, never inside a character; lone surrogates become '?'. */
  static String cut(String text, int limit) {
    byte[] bytes = text.getBytes(StandardCharsets.UTF_8);
    int end = bytes.length;
    if (end > limit) {
      end = limit;
      while (end > 0 && (bytes[end] & 0xC0) == 0x80) {
        end--;
      }
    }
    return ByteString.copyFrom(bytes, 0, end).toStringUtf8();
  }
}
