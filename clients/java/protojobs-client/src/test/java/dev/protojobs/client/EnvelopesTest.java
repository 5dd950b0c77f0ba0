package dev.protojobs.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.google.protobuf.ByteString;
import dev.protojobs.client.PayloadContext.Use;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.stream.Stream;
import java.util.stream.StreamSupport;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestFactory;

/** What every implementation must read, make and refuse: proto/testdata/envelopes.json. */
class EnvelopesTest {
  private final JsonNode file;
  private final Map<String, byte[]> keys = new HashMap<>();

  EnvelopesTest() throws IOException {
    file = new ObjectMapper().readTree(Path.of("../../../proto/testdata/envelopes.json").toFile());
    file.get("keys").properties().forEach(key -> keys.put(key.getKey(), hex(key.getValue())));
  }

  private static byte[] hex(JsonNode text) {
    return HexFormat.of().parseHex(text.asText());
  }

  private static ByteString bytes(JsonNode text) {
    return ByteString.copyFrom(hex(text));
  }

  private static PayloadContext context(JsonNode vector) {
    JsonNode context = vector.get("context");
    Use use = Use.valueOf(context.get("use").asText().toUpperCase(Locale.ROOT));
    return new PayloadContext(
        context.path("kind").asText(),
        context.path("queue").asText(),
        use,
        context.path("job_id").asText());
  }

  /** Results and checkpoints have no stored media type. */
  private static Payload stored(JsonNode vector, PayloadContext context) {
    String type = context.use() == Use.PAYLOAD ? Payload.ENVELOPE : Payload.JSON;
    return new Payload(bytes(vector.get("envelope")), type);
  }

  private PayloadCodec reader(boolean required) {
    return PayloadCodec.chain(
        new CompressCodec(0, 64 * 1024 * 1024), new EncryptCodec(keys, "2026-11", true, required));
  }

  private PayloadCodec encoder(JsonNode vector) {
    List<PayloadCodec> parts = new ArrayList<>();
    for (JsonNode each : vector.get("encoders")) {
      parts.add(
          each.get("method").asText().equals("aes-256-gcm")
              ? new EncryptCodec(
                  keys, each.get("key").asText(), each.path("bind_queue").asBoolean(true), false)
              : new CompressCodec(0, 64 * 1024 * 1024));
    }
    return PayloadCodec.chain(parts.toArray(PayloadCodec[]::new));
  }

  private static Stream<JsonNode> each(JsonNode array) {
    return StreamSupport.stream(array.spliterator(), false);
  }

  @TestFactory
  Stream<DynamicTest> everyEnvelopeIsRead() {
    return each(file.get("envelopes"))
        .map(
            vector ->
                DynamicTest.dynamicTest(
                    vector.get("name").asText(),
                    () -> {
                      PayloadContext context = context(vector);

                      Payload read = reader(false).open(stored(vector, context), context);

                      assertEquals(bytes(vector.get("data")), read.data());
                      assertEquals(vector.get("content_type").asText(), read.contentType());
                    }));
  }

  @TestFactory
  Stream<DynamicTest> everyReproducibleEnvelopeIsMade() {
    return each(file.get("envelopes"))
        .filter(vector -> vector.path("reproducible").asBoolean())
        .map(
            vector ->
                DynamicTest.dynamicTest(
                    vector.get("name").asText(),
                    () -> {
                      Payload plain =
                          new Payload(
                              bytes(vector.get("data")), vector.get("content_type").asText());

                      Payload made = encoder(vector).encode(plain, context(vector));

                      assertEquals(bytes(vector.get("envelope")), made.data());
                    }));
  }

  @TestFactory
  Stream<DynamicTest> everythingElseIsRefusedForItsReason() {
    return each(file.get("refused"))
        .map(
            vector ->
                DynamicTest.dynamicTest(
                    vector.get("name").asText(),
                    () -> {
                      PayloadContext context = context(vector);
                      PayloadCodec codec = reader(false);
                      Payload stored = stored(vector, context);

                      UndecodableException error =
                          assertThrows(
                              UndecodableException.class, () -> codec.open(stored, context));

                      assertEquals(vector.get("reason").asText(), error.reason());
                    }));
  }

  private static final PayloadContext CONTEXT =
      new PayloadContext("send_email", "mail", Use.PAYLOAD, "");

  private static String reason(PayloadCodec codec, Payload stored) {
    return assertThrows(UndecodableException.class, () -> codec.open(stored, CONTEXT)).reason();
  }

  @Test
  void whatIsNotEncryptedIsRefusedWhereEncryptionIsRequired() {
    Payload plain = Payload.of(ByteString.copyFromUtf8("{}"));

    assertEquals("NOT_ENCRYPTED", reason(reader(true), plain));
    assertEquals(plain, reader(false).open(plain, CONTEXT));
  }

  @Test
  void anEnvelopeIsRefusedWhereNoCodecReadsIt() {
    Payload sealed = reader(false).encode(Payload.of(ByteString.copyFromUtf8("{}")), CONTEXT);

    assertEquals("NO_CODEC", reason(PayloadCodec.PLAIN, sealed));
    assertEquals("NO_CODEC", reason(new CompressCodec(), sealed));
  }

  @Test
  void aSmallPayloadCannotFillTheMemory() {
    PayloadCodec packing = new CompressCodec(0, Integer.MAX_VALUE - 1);
    Payload packed = packing.encode(Payload.of(ByteString.copyFrom(new byte[100_000])), CONTEXT);

    assertEquals("TOO_LARGE", reason(new CompressCodec(0, 50_000), packed));
  }

  @Test
  void bytesAfterTheGzipMemberAreCorrupt() {
    ByteString gzip = ByteString.EMPTY;
    for (JsonNode vector : file.get("envelopes")) {
      gzip = vector.get("name").asText().equals("gzip") ? bytes(vector.get("envelope")) : gzip;
    }
    ByteString member = gzip.substring(5);

    assertEquals(
        "CORRUPT",
        reason(new CompressCodec(), Envelope.enclose(gzip.concat(ByteString.copyFromUtf8("x")))));
    assertEquals("CORRUPT", reason(new CompressCodec(), Envelope.enclose(gzip.concat(member))));
  }
}
