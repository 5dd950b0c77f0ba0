package dev.protojobs.worker;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.protobuf.ByteString;
import dev.protojobs.client.CompressCodec;
import dev.protojobs.client.EncryptCodec;
import dev.protojobs.client.Payload;
import dev.protojobs.client.PayloadCodec;
import dev.protojobs.client.PayloadContext;
import dev.protojobs.client.PayloadContext.Use;
import dev.protojobs.v1.LeasedJob;
import dev.protojobs.v1.SettleItem;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

@Timeout(60)
class CodecTest {
  private static final PayloadCodec CODEC =
      PayloadCodec.chain(new CompressCodec(), new EncryptCodec("2026-11", new byte[32]));

  private final FakeServer server = new FakeServer();
  private final Worker worker =
      Worker.builder()
          .connection(server.connection())
          .codec(CODEC)
          .handle(
              "halves",
              String.class,
              (job, data) -> {
                if (job.checkpoint().isEmpty()) {
                  job.saveCheckpoint(ByteString.copyFromUtf8("half of " + data));
                  throw new IllegalStateException("the other half fails");
                }
                return job.checkpoint().toStringUtf8();
              })
          .build();

  @AfterEach
  void close() {
    worker.stopNow();
    worker.start().join();
    server.close();
  }

  private static PayloadContext context(LeasedJob job, Use use) {
    return new PayloadContext(
        job.getSpec().getKind(), job.getSpec().getQueue(), use, job.getJobId());
  }

  private static LeasedJob sealed(String data) {
    LeasedJob job = FakeServer.job("halves", "");
    Payload payload =
        CODEC.encode(Payload.of(ByteString.copyFromUtf8(data)), context(job, Use.PAYLOAD));
    LeasedJob.Builder sealed = job.toBuilder();
    sealed.getSpecBuilder().setPayload(payload.data()).setContentType(payload.contentType());
    return sealed.build();
  }

  @Test
  void payloadCheckpointAndResultGoThroughTheCodec() throws InterruptedException {
    LeasedJob job = sealed("\"bread\"");
    worker.start();
    FakeServer.Stream stream = server.stream();
    stream.welcome();

    stream.deliver(job);
    ByteString checkpoint = stream.confirm(job).getFail().getCheckpoint();
    LeasedJob next = job.toBuilder().setAttempt(2).setCheckpoint(checkpoint).build();
    stream.deliver(next);
    stream.expect("the second outcome", frame -> stream.outcomes(job).size() == 2);
    ByteString result = stream.outcomes(job).get(1).getComplete().getResult();
    stream.answer(
        next,
        dev.protojobs.v1.SettleCode.SETTLE_CODE_OK,
        dev.protojobs.v1.JobState.JOB_STATE_COMPLETED);

    assertEquals(
        "half of bread",
        CODEC.open(Payload.of(checkpoint), context(job, Use.CHECKPOINT)).data().toStringUtf8());
    assertEquals(
        "\"half of bread\"",
        CODEC.open(Payload.of(result), context(job, Use.RESULT)).data().toStringUtf8());
  }

  @Test
  void aPayloadThatTheCodecCannotReadFailsForGoodAndSaysWhy() throws InterruptedException {
    LeasedJob job = sealed("\"bread\"");
    LeasedJob.Builder moved = job.toBuilder();
    moved.getSpecBuilder().setQueue("another");
    worker.start();
    FakeServer.Stream stream = server.stream();
    stream.welcome();

    stream.deliver(moved.build());
    SettleItem item = stream.confirm(moved.build());

    assertTrue(item.getFail().hasRetryable());
    assertFalse(item.getFail().getRetryable());
    assertTrue(item.getFail().getError().getMessage().startsWith("NOT_AUTHENTIC"));
  }

  @Test
  void aCheckpointThatTheCodecCannotReadFailsForGoodAndSaysWhy() throws InterruptedException {
    LeasedJob job = sealed("\"bread\"");
    ByteString foreign =
        CODEC.encode(Payload.of(ByteString.copyFromUtf8("x")), context(job, Use.RESULT)).data();
    LeasedJob next = job.toBuilder().setCheckpoint(foreign).build();
    worker.start();
    FakeServer.Stream stream = server.stream();
    stream.welcome();

    stream.deliver(next);
    SettleItem item = stream.confirm(next);

    assertTrue(item.getFail().hasRetryable());
    assertFalse(item.getFail().getRetryable());
    assertTrue(item.getFail().getError().getMessage().startsWith("NOT_AUTHENTIC"));
  }
}
