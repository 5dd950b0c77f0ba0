package dev.protojobs.worker;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.protojobs.client.DataMapper;
import dev.protojobs.client.PayloadCodec;
import dev.protojobs.v1.ReleaseReason;
import java.util.List;
import java.util.Map;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

@Timeout(60)
class ExecutorTest {
  private enum Turn {
    NOW,
    SOON
  }

  private final Semaphore gate = new Semaphore(0);
  private final BlockingQueue<Turn> asked = new LinkedBlockingQueue<>();
  private final Executor executor =
      new Executor(
          Map.of("gated", handler()),
          new Execution(List.of()),
          3,
          0,
          () -> asked.add(Turn.NOW),
          () -> asked.add(Turn.SOON));

  private Handler handler() {
    JobHandler<Object> target =
        (job, data) -> {
          gate.acquire();
          return null;
        };
    return new Handler(
        "gated",
        Void.class,
        target,
        HandlerOptions.standard(),
        PayloadCodec.PLAIN,
        DataMapper.standard());
  }

  private static Lease lease(String kind) {
    return new Lease(FakeServer.job(kind, ""), 1);
  }

  private Turn turn() throws InterruptedException {
    return asked.poll(20, TimeUnit.SECONDS);
  }

  @AfterEach
  void close() {
    executor.close();
  }

  @Test
  void theLastHandlerToEndAsksForATurnForAllThatHaveEndedWithIt() throws InterruptedException {
    executor.start(List.of(lease("gated"), lease("gated"), lease("gated")));

    gate.release();
    assertEquals(Turn.SOON, turn());
    gate.release(2);

    assertEquals(Turn.NOW, turn());
    assertTrue(asked.isEmpty());
    assertEquals(3, executor.ended().size());
  }

  @Test
  void whatEndsAfterTheOthersWereTakenAsksAgain() throws InterruptedException {
    executor.start(List.of(lease("gated"), lease("gated"), lease("gated")));
    gate.release();
    assertEquals(Turn.SOON, turn());

    assertEquals(1, executor.ended().size());
    gate.release();

    assertEquals(Turn.SOON, turn());
    assertEquals(1, executor.ended().size());
  }

  @Test
  void whatHasNoHandlerHoldsUpNoneThatHasEnded() throws InterruptedException {
    Lease unknown = lease("unknown");

    assertEquals(
        Map.of(unknown, ReleaseReason.RELEASE_REASON_UNKNOWN_KIND),
        executor.start(List.of(lease("gated"), unknown)));
    gate.release();

    assertEquals(Turn.NOW, turn());
  }
}
