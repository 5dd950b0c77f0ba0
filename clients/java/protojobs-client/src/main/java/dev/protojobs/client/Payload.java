package dev.protojobs.client;

import com.google.protobuf.ByteString;

/**
 * Bytes and their media type. Its text shows no bytes.
 *
 * @param data any bytes
 * @param contentType media type, at most 128 bytes
 */
public record Payload(ByteString data, String contentType) {
  /** Media type of JSON, the default of every payload. */
  public static final String JSON = "application/json";

  /** Media type of what a codec has made. */
  public static final String ENVELOPE = "application/vnd.protojobs.envelope";

  /**
   * Returns bytes that are JSON, or that have no media type of their own: results and checkpoints.
   *
   * @param data any bytes
   */
  public static Payload of(ByteString data) {
    return new Payload(data, JSON);
  }

  /** Tells JSON media types (RFC 6839) from others, whatever their parameters. */
  public boolean isJson() {
    String type = contentType.split(";", 2)[0].strip().toLowerCase(java.util.Locale.ROOT);
    return type.isEmpty() || type.equals(JSON) || type.endsWith("+json");
  }

  @Override
  public String toString() {
    return "Payload[" + data.size() + " bytes, " + contentType + "]";
  }
}
