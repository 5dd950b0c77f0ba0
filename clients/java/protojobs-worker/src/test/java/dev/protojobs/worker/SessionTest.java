package dev.protojobs.worker;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.random.RandomGenerator;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;

@Timeout(60)
class SessionTest {
  private static final RandomGenerator LEAST = () -> 0;

  private final FakeServer server = new FakeServer();
  private final ScheduledExecutorService loop = Executors.newSingleThreadScheduledExecutor();

  private static WorkerOptions options() {
    Duration span = Duration.ofSeconds(30);
    return new WorkerOptions(
        "tester",
        Map.of("main", 1),
        false,
        1,
        null,
        null,
        span,
        span,
        1,
        false,
        span,
        null,
        null,
        null,
        null,
        span);
  }

  @AfterEach
  void close() {
    loop.shutdownNow();
    server.close();
  }

  @Test
  void aWorkerThatHasNothingLeftOpensNoStreamAfterOneThatTheServerEnds()
      throws InterruptedException {
    Session session = new Session(options(), Map.of(), server.connection(), List.of(), loop, LEAST);
    CompletableFuture<ExitReason> exit = session.start();
    FakeServer.Stream stream = server.stream();
    session.leave(ExitReason.STOPPED);
    session.look().join();

    stream.end();

    assertEquals(ExitReason.STOPPED, exit.join());
    assertEquals(0, server.waiting());
  }
}
