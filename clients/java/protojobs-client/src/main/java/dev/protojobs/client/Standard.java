package dev.protojobs.client;

import com.google.protobuf.ByteString;
import java.lang.reflect.Type;

/** What is taken from optional libraries, looked for once. */
final class Standard {
  static final DataMapper MAPPER =
      isThere("com.fasterxml.jackson.databind.ObjectMapper") ? new JacksonMapper() : new NoMapper();
  static final boolean TRACES =
      isThere("io.opentelemetry.api.trace.propagation.W3CTraceContextPropagator");

  private Standard() {}

  private static boolean isThere(String name) {
    try {
      Class.forName(name, false, Standard.class.getClassLoader());
      return true;
    } catch (ClassNotFoundException | LinkageError absent) {
      return false;
    }
  }

  private static final class NoMapper implements DataMapper {
    private static final String MISSING =
        "JSON needs jackson-databind on the class path, or a DataMapper of your own";

    @Override
    public ByteString write(Object value) {
      if (value == null) {
        return ByteString.copyFromUtf8("null");
      }
      throw new IllegalArgumentException(MISSING);
    }

    @Override
    public Object read(ByteString json, Type type) {
      throw new IllegalArgumentException(MISSING);
    }
  }
}
