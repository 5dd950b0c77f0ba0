package dev.protojobs.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.protobuf.ByteString;
import dev.protojobs.v1.JobSpec;
import io.opentelemetry.api.trace.Span;
import io.opentelemetry.api.trace.SpanContext;
import io.opentelemetry.api.trace.TraceFlags;
import io.opentelemetry.api.trace.TraceState;
import io.opentelemetry.context.Scope;
import java.time.Duration;
import java.time.Instant;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;

class JobRequestTest {
  private static final String TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
  private static final String ID = "01990000-0000-7000-8000-000000000001";

  record Email(String to, int copies) {}

  private static JobSpec spec(JobRequest request) {
    return request.toSpec(
        ID, Map.of("traceparent", TRACE), PayloadCodec.PLAIN, DataMapper.standard());
  }

  @Test
  void dataBecomesJson() {
    assertEquals(
        "{\"to\":\"ann\",\"copies\":2}",
        spec(JobRequest.of("k", new Email("ann", 2))).getPayload().toStringUtf8());
    assertEquals("null", spec(JobRequest.of("k", null)).getPayload().toStringUtf8());
  }

  @Test
  void bytesAreSentAsTheyAre() {
    ByteString bytes = ByteString.copyFrom(new byte[] {0, -1, 10});

    JobSpec spec = spec(JobRequest.builder("k").payload(bytes, "application/octet-stream").build());

    assertEquals(bytes, spec.getPayload());
    assertEquals("application/octet-stream", spec.getContentType());
  }

  @Test
  void timesAreKeptToTheMicrosecond() {
    Instant time = Instant.parse("2026-11-28T10:00:00.123456789Z");

    JobSpec spec = spec(JobRequest.builder("k").runAt(time).build());

    assertEquals(Instant.parse("2026-11-28T10:00:00.123456Z"), Times.read(spec.getRunTime()));
  }

  @Test
  void aDelayReplacesATime() {
    JobSpec spec =
        spec(JobRequest.builder("k").runAt(Instant.now()).delay(Duration.ofMillis(1500)).build());

    assertFalse(spec.hasRunTime());
    assertEquals(Duration.ofMillis(1500), Times.read(spec.getDelay()));
  }

  @Test
  void jobsThatFollowAreInTheTraceOfTheJobThatTheyFollow() {
    JobRequest next = JobRequest.of("next", 1);

    JobSpec spec =
        spec(JobRequest.builder("k").header("secret", "x").onComplete(next).onFailed(next).build());

    assertEquals(Map.of("traceparent", TRACE), spec.getOnComplete(0).getHeadersMap());
    assertEquals("next", spec.getOnFailed(0).getKind());
  }

  @Test
  void aJobThatFollowsTakesNoId() {
    JobRequest named = JobRequest.builder("next").id(ID).build();
    JobRequest.Builder builder = JobRequest.builder("k");

    assertThrows(IllegalArgumentException.class, () -> builder.onComplete(named));
  }

  @Test
  void aTraceOfTheRequestsOwnIsKept() {
    JobSpec spec = spec(JobRequest.builder("k").header("traceparent", "mine").build());

    assertEquals(Map.of("traceparent", "mine"), spec.getHeadersMap());
  }

  @Test
  void theCurrentSpanBecomesTheTraceparent() {
    SpanContext context =
        SpanContext.create(
            "0af7651916cd43dd8448eb211c80319c",
            "b7ad6b7169203331",
            TraceFlags.getSampled(),
            TraceState.getDefault());
    try (Scope scope = Span.wrap(context).makeCurrent()) {
      assertEquals(Map.of("traceparent", TRACE), TraceFields.current(List.of()));
    }
    assertTrue(TraceFields.current(List.of()).isEmpty());
  }

  @Test
  void aPayloadThatDoesNotFitIsToldWithoutItsText() {
    DataMapper mapper = new JacksonMapper();
    for (String json :
        List.of(
            "{",
            "{\"to\":1,\"copies\":\"secret words\"}",
            "[]",
            "{\"to\":\"x\"}",
            "{} secret words")) {
      IllegalArgumentException error =
          assertThrows(
              IllegalArgumentException.class,
              () -> mapper.read(ByteString.copyFromUtf8(json), Email.class),
              json);

      assertFalse(error.getMessage().contains("secret words"));
    }
  }
}
