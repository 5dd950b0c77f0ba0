package dev.protojobs.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import com.google.protobuf.ByteString;
import dev.protojobs.client.FakeServer.Watcher;
import dev.protojobs.v1.Job;
import dev.protojobs.v1.JobEvent;
import dev.protojobs.v1.JobFilter;
import dev.protojobs.v1.WatchJobsResponse;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

class JobEventsTest {
  private final FakeServer server = new FakeServer();
  private final Client client = server.client();

  @AfterEach
  void close() {
    client.close();
    server.close();
  }

  private static ByteString cursor(String name) {
    return ByteString.copyFromUtf8(name);
  }

  private static WatchJobsResponse event(String id, String type) {
    JobEvent event =
        JobEvent.newBuilder()
            .setCursor(cursor(id))
            .setJob(Job.newBuilder().setId(id))
            .setType(type)
            .build();
    return WatchJobsResponse.newBuilder().addEvents(event).setCursor(cursor(id)).build();
  }

  private static WatchJobsResponse heartbeat(String cursor) {
    return WatchJobsResponse.newBuilder().setCursor(cursor(cursor)).build();
  }

  private CompletableFuture<JobEvents> watch() {
    return CompletableFuture.supplyAsync(() -> client.jobs().watch(JobFilter.getDefaultInstance()));
  }

  @Test
  void aLostStreamGoesOnBehindTheLastEvent() throws InterruptedException {
    CompletableFuture<JobEvents> watching = watch();
    Watcher first = server.watcher();
    first.answers().onNext(heartbeat("begin"));
    JobEvents events = watching.join();
    first.answers().onNext(event("one", "job.processed"));
    assertEquals("one", events.next().getJob().getId());

    first.answers().onError(new StatusRuntimeException(Status.UNAVAILABLE));
    CompletableFuture<JobEvent> next = CompletableFuture.supplyAsync(events::next);
    Watcher second = server.watcher();
    second.answers().onNext(event("two", "job.processed"));

    assertEquals(cursor("one"), second.request().getCursor());
    assertEquals("two", next.join().getJob().getId());
    events.close();
  }

  @Test
  void aHeartbeatMovesTheCursorOn() throws InterruptedException {
    CompletableFuture<JobEvents> watching = watch();
    Watcher first = server.watcher();
    first.answers().onNext(heartbeat("begin"));
    JobEvents events = watching.join();

    first.answers().onCompleted();
    CompletableFuture<Boolean> more = CompletableFuture.supplyAsync(events::hasNext);

    assertEquals(cursor("begin"), server.watcher().request().getCursor());
    events.close();
    assertEquals(false, more.join());
  }

  @Test
  void aCursorThatHasExpiredIsAnError() throws InterruptedException {
    CompletableFuture<JobEvents> watching = watch();
    server
        .watcher()
        .answers()
        .onError(FakeServer.refusal(Status.Code.OUT_OF_RANGE, "CURSOR_EXPIRED"));

    Throwable error = assertThrows(Exception.class, watching::join).getCause();

    assertEquals("CURSOR_EXPIRED", ((ProtoJobsException) error).reason());
  }

  @Test
  void aListenerHearsEventsOfItsTypeAndGoesOnAfterAnErrorOfItsOwn() throws InterruptedException {
    BlockingQueue<String> heard = new LinkedBlockingQueue<>();
    CompletableFuture<JobListener> listening =
        CompletableFuture.supplyAsync(
            () ->
                client
                    .jobs()
                    .listen(
                        "job.failed",
                        JobFilter.getDefaultInstance(),
                        event -> {
                          heard.add(event.getJob().getId());
                          throw new IllegalStateException("its own");
                        }));
    Watcher watcher = server.watcher();
    watcher.answers().onNext(heartbeat("begin"));
    try (JobListener listener = listening.join()) {
      watcher.answers().onNext(event("other", "job.processed"));
      watcher.answers().onNext(event("one", "job.failed"));
      watcher.answers().onNext(event("two", "job.failed"));

      assertEquals("one", heard.poll(20, TimeUnit.SECONDS));
      assertEquals("two", heard.poll(20, TimeUnit.SECONDS));
    }
  }

  @Test
  void aWatchThatIsClosedLeavesItsStream() throws InterruptedException {
    CompletableFuture<JobEvents> watching = watch();
    Watcher watcher = server.watcher();
    watcher.answers().onNext(heartbeat("begin"));

    watching.join().close();

    assertEquals(true, watcher.left().tryAcquire(20, TimeUnit.SECONDS));
  }
}
