package dev.protojobs.client;

import com.google.protobuf.ByteString;
import java.lang.reflect.Type;

/**
 * Turns data into JSON and back. Must be safe for use by many threads.
 *
 * <p>With Jackson ({@code jackson-databind}) on the class path it is the default; without, only
 * bytes and text can be sent unless the application brings its own.
 */
public interface DataMapper {
  /**
   * Returns the JSON of a value.
   *
   * @param value any value that the mapper knows, or null
   * @throws IllegalArgumentException for a value that is not JSON
   */
  ByteString write(Object value);

  /**
   * Returns the value of some JSON.
   *
   * @param json the bytes
   * @param type what to build of them
   * @throws IllegalArgumentException for bytes that are not JSON or do not fit; the message holds
   *     none of them
   */
  Object read(ByteString json, Type type);

  /**
   * {@return the mapper of Jackson where that is on the class path; else one that refuses
   * everything}
   */
  static DataMapper standard() {
    return Standard.MAPPER;
  }
}
