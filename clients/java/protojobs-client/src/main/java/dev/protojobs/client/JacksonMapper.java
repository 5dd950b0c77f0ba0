package dev.protojobs.client;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.core.exc.StreamReadException;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.JsonMappingException;
import com.fasterxml.jackson.databind.MapperFeature;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.SerializationFeature;
import com.fasterxml.jackson.databind.json.JsonMapper;
import com.google.protobuf.ByteString;
import java.io.IOException;
import java.lang.reflect.Type;
import java.util.stream.Collectors;

/** JSON by Jackson, for which a payload fits a type or does not: nothing is coerced. */
public final class JacksonMapper implements DataMapper {
  private final ObjectMapper mapper;

  /** Uses a mapper with the modules that are on the class path. */
  public JacksonMapper() {
    this(
        JsonMapper.builder()
            .findAndAddModules()
            .disable(MapperFeature.ALLOW_COERCION_OF_SCALARS)
            .disable(SerializationFeature.WRITE_DATES_AS_TIMESTAMPS)
            .disable(DeserializationFeature.FAIL_ON_UNKNOWN_PROPERTIES)
            .enable(DeserializationFeature.FAIL_ON_NULL_FOR_PRIMITIVES)
            .enable(DeserializationFeature.FAIL_ON_TRAILING_TOKENS)
            .disable(DeserializationFeature.ACCEPT_FLOAT_AS_INT)
            .build());
  }

  /**
   * Uses the application's mapper.
   *
   * @param mapper configured mapper; not changed
   */
  public JacksonMapper(ObjectMapper mapper) {
    this.mapper = mapper;
  }

  @Override
  public ByteString write(Object value) {
    try {
      return ByteString.copyFrom(mapper.writeValueAsBytes(value));
    } catch (JsonProcessingException error) {
      throw new IllegalArgumentException(value.getClass().getName() + " is not JSON", error);
    }
  }

  @Override
  public Object read(ByteString json, Type type) {
    try {
      return mapper.readValue(json.newInput(), mapper.constructType(type));
    } catch (StreamReadException error) {
      // Jackson's own text quotes the payload, and would be stored with the failure in the clear.
      throw new IllegalArgumentException("the payload is not JSON");
    } catch (JsonMappingException error) {
      String path =
          error.getPath().stream()
              .map(
                  step ->
                      step.getFieldName() == null
                          ? "[" + step.getIndex() + "]"
                          : step.getFieldName())
              .collect(Collectors.joining("."));
      throw new IllegalArgumentException(
          (path.isEmpty() ? "the payload" : path) + " does not fit " + type.getTypeName());
    } catch (IOException error) {
      throw new IllegalArgumentException("the payload cannot be read");
    }
  }
}
