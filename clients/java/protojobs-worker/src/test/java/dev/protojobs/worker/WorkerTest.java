package dev.protojobs.worker;

import static dev.protojobs.worker.FakeServer.job;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.protobuf.ByteString;
import dev.protojobs.client.JobRequest;
import dev.protojobs.client.Times;
import dev.protojobs.v1.Cancel;
import dev.protojobs.v1.CancelReason;
import dev.protojobs.v1.Drain;
import dev.protojobs.v1.DrainReason;
import dev.protojobs.v1.Hello;
import dev.protojobs.v1.JobState;
import dev.protojobs.v1.LeaseRequest;
import dev.protojobs.v1.LeaseResponse;
import dev.protojobs.v1.LeasedJob;
import dev.protojobs.v1.ReleaseReason;
import dev.protojobs.v1.SettleCode;
import dev.protojobs.v1.SettleItem;
import dev.protojobs.v1.UpdateItem;
import io.grpc.Status;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import java.util.stream.IntStream;
import java.util.stream.LongStream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

@Timeout(60)
class WorkerTest {
  private final FakeServer server = new FakeServer();
  private final BlockingQueue<String> began = new LinkedBlockingQueue<>();
  private final BlockingQueue<Ending> endings = new LinkedBlockingQueue<>();
  private final Semaphore gate = new Semaphore(0);
  private Worker worker;
  private CompletableFuture<ExitReason> exit;

  record Numbered(int n) {}

  private Worker.Builder builder() {
    return Worker.builder()
        .connection(server.connection())
        .queue("main", 2)
        .queue("other")
        .handle("echo", ByteString.class, (job, data) -> data)
        .handle("noop", Void.class, (job, data) -> null)
        .handle("gated", Void.class, (job, data) -> gated(job))
        .handle("typed", Numbered.class, (job, data) -> data.n() + 1)
        .listener(
            new WorkerListener() {
              @Override
              public void ended(JobContext context, Ending ending) {
                endings.add(ending);
              }
            });
  }

  private Object gated(JobContext job) throws InterruptedException {
    began.add(job.jobId());
    gate.acquire();
    return null;
  }

  private FakeServer.Stream start(Worker.Builder builder) throws InterruptedException {
    worker = builder.build();
    exit = worker.start();
    return server.stream();
  }

  private FakeServer.Stream welcomed(Worker.Builder builder) throws InterruptedException {
    FakeServer.Stream stream = start(builder);
    stream.welcome();
    return stream;
  }

  private void awaitBegin() throws InterruptedException {
    assertTrue(began.poll(20, TimeUnit.SECONDS) != null, "no handler has begun");
  }

  private Ending ending() throws InterruptedException {
    return endings.poll(20, TimeUnit.SECONDS);
  }

  private static SettleItem outcome(FakeServer.Stream stream, LeasedJob job)
      throws InterruptedException {
    stream.deliver(job);
    return stream.confirm(job);
  }

  private static void cancel(FakeServer.Stream stream, LeasedJob job, CancelReason reason) {
    Cancel.Builder cancel = Cancel.newBuilder();
    cancel
        .addItemsBuilder()
        .setJobId(job.getJobId())
        .setAttempt(job.getAttempt())
        .setReason(reason);
    stream.send(LeaseResponse.newBuilder().setCancel(cancel));
  }

  @AfterEach
  void close() {
    gate.release(1000);
    if (worker != null) {
      worker.stopNow();
      exit.join();
    }
    server.close();
  }

  @Test
  void helloSaysWhoWorksWhereAndHasRoomForHowMuch() throws InterruptedException {
    Hello hello = start(builder().slots(3)).welcome();

    assertEquals(16, hello.getSessionId().size());
    assertEquals(
        List.of("main", "other"),
        hello.getQueuesList().stream().map(each -> each.getName()).toList());
    assertEquals(2, hello.getQueues(0).getWeight());
    assertEquals(List.of("echo", "gated", "noop", "typed"), hello.getKindsList());
    assertEquals(3, hello.getSlots());
    assertEquals(6, hello.getWindow().getMaxInFlight());
    assertEquals("protojobs-java", hello.getSdk());
    assertFalse(hello.getSdkVersion().isEmpty());
    assertEquals(1, hello.getStreamNo());
  }

  @Test
  void framesAreNumberedAndTheOneThatCountsAJobComesBeforeItsHandlerBegins()
      throws InterruptedException {
    FakeServer.Stream stream = welcomed(builder().slots(2));
    long number = stream.deliver(job("gated", ""), job("gated", ""), job("gated", ""));

    LeaseRequest covering = stream.expect("a receipt", frame -> frame.getReceivedSeq() >= number);
    stream.expect("the start of two", frame -> frame.getStartedSeq() == 2);
    awaitBegin();
    awaitBegin();

    assertTrue(covering.getStartedSeq() <= 2);
    assertEquals(
        LongStream.rangeClosed(1, stream.frames.size()).boxed().toList(),
        stream.frames.stream().map(LeaseRequest::getSeq).toList());
    assertTrue(began.isEmpty());
  }

  @Test
  void aHandlersOutcomesAreSettledAsTheContractHasThem() throws InterruptedException {
    FakeServer.Stream stream =
        welcomed(
            builder()
                .handle(
                    "retry",
                    Void.class,
                    (job, data) -> new Verdict.RetryAfter(Duration.ofSeconds(7), "later"))
                .handle(
                    "snooze", Void.class, (job, data) -> new Verdict.Snooze(Duration.ofSeconds(9)))
                .handle("cancel", Void.class, (job, data) -> new Verdict.Cancel("no"))
                .handle("discard", Void.class, (job, data) -> new Verdict.Discard("of no use"))
                .handle(
                    "final",
                    Void.class,
                    (job, data) -> {
                      throw new NonRetryableException("for good");
                    })
                .handle(
                    "named",
                    Void.class,
                    (job, data) -> {
                      throw new JobFailureException("NoLuck", "žluť");
                    })
                .handle(
                    "chain",
                    Void.class,
                    (job, data) -> {
                      job.dispatch(JobRequest.of("first", 1));
                      return new Verdict.Complete("done", List.of(JobRequest.of("second", 2)));
                    }));

    assertEquals(
        "hello", outcome(stream, job("echo", "hello")).getComplete().getResult().toStringUtf8());
    assertTrue(outcome(stream, job("noop", "")).getComplete().getResult().isEmpty());
    assertEquals(
        "6", outcome(stream, job("typed", "{\"n\":5}")).getComplete().getResult().toStringUtf8());
    SettleItem retry = outcome(stream, job("retry", ""));
    assertEquals(7, retry.getFail().getRetryAfter().getSeconds());
    assertFalse(retry.getFail().hasRetryable());
    assertEquals(9, outcome(stream, job("snooze", "")).getSnooze().getDelay().getSeconds());
    assertTrue(outcome(stream, job("cancel", "")).hasCancelled());
    SettleItem discard = outcome(stream, job("discard", ""));
    assertTrue(discard.getFail().hasRetryable() && !discard.getFail().getRetryable());
    SettleItem fatal = outcome(stream, job("final", ""));
    assertTrue(fatal.getFail().hasRetryable() && !fatal.getFail().getRetryable());
    SettleItem named = outcome(stream, job("named", ""));
    assertEquals("NoLuck", named.getFail().getError().getType());
    assertEquals("žluť", named.getFail().getError().getMessage());
    assertTrue(named.getFail().getError().getStack().contains("WorkerTest"));
    SettleItem chain = outcome(stream, job("chain", ""));
    assertEquals("\"done\"", chain.getComplete().getResult().toStringUtf8());
    assertEquals(
        List.of("first", "second"),
        chain.getComplete().getDispatchList().stream().map(each -> each.getKind()).toList());
  }

  @Test
  void aPayloadThatDoesNotFitFailsForGoodAndIsNotShown() throws InterruptedException {
    FakeServer.Stream stream = welcomed(builder());
    for (String payload : List.of("{", "[]", "{\"n\": \"secret words\"}", "{}")) {
      SettleItem item = outcome(stream, job("typed", payload));

      assertTrue(item.getFail().hasRetryable() && !item.getFail().getRetryable(), payload);
      assertFalse(item.toString().contains("secret words"));
    }
  }

  @Test
  void whateverAHandlerThrowsIsAFailureAndTheWorkerGoesOn() throws InterruptedException {
    FakeServer.Stream stream =
        welcomed(
            builder()
                .handle(
                    "odd",
                    Void.class,
                    (job, data) -> {
                      throw new AssertionError("odd");
                    }));

    assertEquals(
        "java.lang.AssertionError", outcome(stream, job("odd", "")).getFail().getError().getType());
    assertTrue(outcome(stream, job("noop", "")).hasComplete());
  }

  @Test
  void aJobWithoutAHandlerIsReleasedAsUnknown() throws InterruptedException {
    FakeServer.Stream stream = welcomed(builder());

    SettleItem item = outcome(stream, job("nobodys", ""));

    assertEquals(ReleaseReason.RELEASE_REASON_UNKNOWN_KIND, item.getRelease().getReason());
  }

  @Test
  void aResultThatIsTooLargeIsCutToOneByteAboveTheLimit() throws InterruptedException {
    FakeServer.Stream stream =
        welcomed(builder().handle("big", Void.class, (job, data) -> new byte[5_000_000]));

    assertEquals(256 * 1024 + 1, outcome(stream, job("big", "")).getComplete().getResult().size());
  }

  @Test
  void anOutcomeIsSentOnEveryStreamUntilItIsAnswered() throws InterruptedException {
    FakeServer.Stream stream = welcomed(builder());
    LeasedJob done = job("echo", "done");
    stream.deliver(done);
    stream.settle(done);

    stream.fail();
    FakeServer.Stream again = server.stream();
    Hello hello = again.welcome(done);
    again.confirm(done);
    again.fail();
    Hello third = server.stream().welcome();

    assertEquals(2, hello.getStreamNo());
    assertEquals(
        List.of(done.getJobId()),
        hello.getHeldList().stream().map(each -> each.getJobId()).toList());
    assertTrue(hello.getHeld(0).getStarted());
    assertEquals(List.of(), third.getHeldList());
  }

  @Test
  void anOutcomeThatCouldNotBeStoredIsSentAgain() throws InterruptedException {
    FakeServer.Stream stream = welcomed(builder());
    LeasedJob done = job("echo", "done");
    stream.deliver(done);
    stream.settle(done);

    stream.answer(done, SettleCode.SETTLE_CODE_RETRY_LATER, JobState.JOB_STATE_RUNNING);

    stream.expect("the outcome again", frame -> stream.outcomes(done).size() == 2);
  }

  @Test
  void anOutcomeThatIsSupersededIsDropped() throws InterruptedException {
    FakeServer.Stream stream = welcomed(builder());
    LeasedJob done = job("echo", "done");
    stream.deliver(done);
    stream.settle(done);

    stream.answer(done, SettleCode.SETTLE_CODE_LEASE_SUPERSEDED, JobState.JOB_STATE_RUNNING);
    stream.fail();

    assertEquals(List.of(), server.stream().welcome().getHeldList());
  }

  @Test
  void aMalformedOutcomeIsFollowedByAPlainFailure() throws InterruptedException {
    FakeServer.Stream stream = welcomed(builder());
    LeasedJob done = job("echo", "done");
    stream.deliver(done);
    stream.settle(done);

    stream.answer(done, SettleCode.SETTLE_CODE_INVALID, JobState.JOB_STATE_RUNNING);

    stream.expect(
        "a failure", frame -> stream.outcomes(done).stream().anyMatch(SettleItem::hasFail));
  }

  @Test
  void aCancelInterruptsTheHandlerAndIsSettled() throws InterruptedException {
    FakeServer.Stream stream = welcomed(builder());
    LeasedJob running = job("gated", "");
    stream.deliver(running);
    awaitBegin();

    cancel(stream, running, CancelReason.CANCEL_REASON_CANCELLED);

    assertTrue(stream.confirm(running).hasCancelled());
    assertEquals(Ending.CANCELLED, ending());
  }

  @Test
  void aHandlerThatCompletesAllTheSameIsSettledAsComplete() throws InterruptedException {
    CountDownLatch told = new CountDownLatch(1);
    FakeServer.Stream stream =
        welcomed(
            builder()
                .handle(
                    "stubborn",
                    Void.class,
                    (job, data) -> {
                      began.add(job.jobId());
                      while (!job.isStopped()) {
                        Thread.onSpinWait();
                      }
                      told.countDown();
                      return null;
                    }));
    LeasedJob running = job("stubborn", "");
    stream.deliver(running);
    awaitBegin();

    cancel(stream, running, CancelReason.CANCEL_REASON_CANCELLED);

    assertTrue(told.await(20, TimeUnit.SECONDS));
    assertTrue(stream.confirm(running).hasComplete());
  }

  @Test
  void aLeaseThatIsLostStopsItsHandlerAndIsNeverSettled() throws InterruptedException {
    FakeServer.Stream stream = welcomed(builder());
    LeasedJob running = job("gated", "");
    stream.deliver(running);
    awaitBegin();

    cancel(stream, running, CancelReason.CANCEL_REASON_LEASE_LOST);

    assertEquals(Ending.LOST, ending());
    outcome(stream, job("noop", ""));
    assertEquals(List.of(), stream.outcomes(running));
  }

  @Test
  void whatTheNextStreamDoesNotKeepIsStopped() throws InterruptedException {
    FakeServer.Stream stream = welcomed(builder());
    LeasedJob lost = job("gated", "");
    LeasedJob kept = job("gated", "");
    stream.deliver(lost, kept);
    awaitBegin();
    awaitBegin();

    stream.fail();
    FakeServer.Stream again = server.stream();
    again.welcome(kept);
    assertEquals(Ending.LOST, ending());
    gate.release();

    assertTrue(again.confirm(kept).hasComplete());
    assertEquals(List.of(), again.outcomes(lost));
  }

  @Test
  void withoutAnAnswerForMostOfTheTtlHandlersAreStopped() throws InterruptedException {
    FakeServer.Stream stream = start(builder());
    stream.welcome(Duration.ofSeconds(2));
    stream.deliver(job("gated", ""));
    awaitBegin();

    // The server says nothing more: neither a heartbeat nor an answer.
    assertEquals(Ending.LOST, ending());
  }

  @Test
  void aServerThatFallsSilentAgainOnTheSameStreamStopsHandlersAgain() throws InterruptedException {
    FakeServer.Stream stream = start(builder());
    stream.welcome(Duration.ofSeconds(1), Duration.ofMinutes(1));

    for (LeasedJob running : List.of(job("gated", ""), job("gated", ""))) {
      stream.deliver(running);
      awaitBegin();
      assertEquals(Ending.LOST, ending());
      stream.settle(running);
      stream.answer(running, SettleCode.SETTLE_CODE_OK, JobState.JOB_STATE_PENDING);
    }
  }

  @Test
  void aSilentStreamIsGivenUpForTheNext() throws InterruptedException {
    FakeServer.Stream stream = start(builder());
    Hello first = stream.welcome(Duration.ofSeconds(2));

    Hello next = server.stream().welcome();

    assertEquals(first.getSessionId(), next.getSessionId());
    assertEquals(2, next.getStreamNo());
  }

  @Test
  void heartbeatsGoOutWhileNothingHappens() throws InterruptedException {
    FakeServer.Stream stream = start(builder());
    stream.welcome(Duration.ofSeconds(2));

    stream.expect("a heartbeat", LeaseRequest::hasPing);
  }

  @Test
  void aClosedSessionIsFollowedByANewOne() throws InterruptedException {
    FakeServer.Stream stream = start(builder());
    Hello first = stream.welcome();
    LeasedJob running = job("gated", "");
    stream.deliver(running);
    awaitBegin();

    stream.refuse(Status.Code.FAILED_PRECONDITION, "SESSION_CLOSED");
    Hello next = server.stream().welcome();

    assertNotEquals(first.getSessionId(), next.getSessionId());
    assertEquals(1, next.getStreamNo());
    assertEquals(List.of(), next.getHeldList());
    assertEquals(Ending.LOST, ending());
  }

  @Test
  void aWorkerThatNoServerTakesEnds() throws InterruptedException {
    FakeServer.Stream stream = start(builder());
    stream.expect("Hello", LeaseRequest::hasHello);

    stream.refuse(Status.Code.UNAUTHENTICATED, "UNAUTHENTICATED");

    assertEquals(ExitReason.REFUSED, exit.join());
  }

  @Test
  void credentialsThatAreTakenNoMoreEndNoWorker() throws InterruptedException {
    FakeServer.Stream stream = welcomed(builder());

    stream.refuse(Status.Code.UNAUTHENTICATED, "UNAUTHENTICATED");

    assertEquals(2, server.stream().welcome().getStreamNo());
  }

  @Test
  void aDrainedStreamIsFollowedByAnotherOnWhichTheWorkGoesOn() throws InterruptedException {
    FakeServer.Stream stream = welcomed(builder());
    LeasedJob running = job("gated", "");
    stream.deliver(running);
    awaitBegin();

    stream.send(
        LeaseResponse.newBuilder()
            .setDrain(Drain.newBuilder().setReason(DrainReason.DRAIN_REASON_AGE)));
    FakeServer.Stream again = server.stream();
    Hello hello = again.welcome(running);
    gate.release();

    assertEquals(running.getJobId(), hello.getHeld(0).getJobId());
    assertTrue(again.confirm(running).hasComplete());
    assertNull(began.poll());
  }

  @Test
  void anOperatorsDrainLetsTheWorkerFinishAndLeave() throws InterruptedException {
    FakeServer.Stream stream = welcomed(builder());
    LeasedJob running = job("gated", "");
    stream.deliver(running);
    awaitBegin();

    stream.send(
        LeaseResponse.newBuilder()
            .setDrain(Drain.newBuilder().setReason(DrainReason.DRAIN_REASON_WORKER)));
    stream.expect("Goodbye", LeaseRequest::hasGoodbye);
    gate.release();
    assertTrue(stream.confirm(running).hasComplete());
    stream.left();
    stream.end();

    assertEquals(ExitReason.DRAINED, exit.join());
  }

  @Test
  void aWorkerThatIsStoppedFinishesWhatHasBegunAndDropsTheRest() throws InterruptedException {
    FakeServer.Stream stream = welcomed(builder().slots(1));
    LeasedJob running = job("gated", "");
    LeasedJob waiting = job("gated", "");
    stream.deliver(running, waiting);
    awaitBegin();

    worker.stop();
    stream.expect("Goodbye", LeaseRequest::hasGoodbye);
    gate.release();
    assertTrue(stream.confirm(running).hasComplete());
    stream.left();
    stream.end();

    assertEquals(ExitReason.STOPPED, exit.join());
    assertEquals(List.of(), stream.outcomes(waiting));
    assertNull(began.poll());
  }

  @Test
  void whatDoesNotFinishWithinTheGraceIsStoppedAndGivenBack() throws InterruptedException {
    FakeServer.Stream stream =
        welcomed(builder().grace(Duration.ZERO).stopGrace(Duration.ofSeconds(20)));
    LeasedJob running = job("gated", "");
    stream.deliver(running);
    awaitBegin();

    worker.stop();

    assertEquals(
        ReleaseReason.RELEASE_REASON_SHUTDOWN, stream.confirm(running).getRelease().getReason());
    stream.end();
    assertEquals(ExitReason.STOPPED, exit.join());
  }

  @Test
  void stoppingNowGivesEverythingBack() throws InterruptedException {
    FakeServer.Stream stream = welcomed(builder());
    LeasedJob running = job("gated", "");
    stream.deliver(running);
    awaitBegin();

    worker.stopNow();

    assertTrue(stream.confirm(running).hasRelease());
    assertEquals(ExitReason.KILLED, exit.join());
  }

  @Test
  void aRunThatTakesTooLongIsAFailureByTimeout() throws InterruptedException {
    FakeServer.Stream stream = welcomed(builder());
    LeasedJob running =
        job("gated", "").toBuilder().setRunTimeout(Times.write(Duration.ofMillis(300))).build();

    assertEquals("TIMEOUT", outcome(stream, running).getFail().getError().getType());
  }

  @Test
  void aHandlerThatDoesNotStopLosesItsSlotAndItsJobGetsAnOutcome() throws InterruptedException {
    FakeServer.Stream stream =
        welcomed(
            builder()
                .slots(2)
                .stuckLimit(2)
                .stopGrace(Duration.ZERO)
                .handle(
                    "stuck",
                    Void.class,
                    (job, data) -> {
                      gate.acquireUninterruptibly();
                      return null;
                    }));
    LeasedJob running =
        job("stuck", "").toBuilder().setRunTimeout(Times.write(Duration.ofMillis(300))).build();

    assertEquals("TIMEOUT", outcome(stream, running).getFail().getError().getType());
    stream.expect("a smaller window", LeaseRequest::hasWindow);
    gate.release();
    assertEquals(Ending.ABANDONED, ending());
  }

  @Test
  void aCheckpointComesWithTheFailureAndIsGivenToTheNextAttempt() throws InterruptedException {
    FakeServer.Stream stream =
        welcomed(
            builder()
                .handle(
                    "halves",
                    Void.class,
                    (job, data) -> {
                      if (!job.checkpoint().isEmpty()) {
                        return job.checkpoint();
                      }
                      job.saveCheckpoint(ByteString.copyFromUtf8("half"));
                      throw new IllegalStateException("the other half fails");
                    }));
    LeasedJob next =
        job("halves", "").toBuilder()
            .setAttempt(2)
            .setCheckpoint(ByteString.copyFromUtf8("half"))
            .build();

    assertEquals(
        "half", outcome(stream, job("halves", "")).getFail().getCheckpoint().toStringUtf8());
    assertEquals("half", outcome(stream, next).getComplete().getResult().toStringUtf8());
  }

  @Test
  void progressIsToldOnceASecondAndTheLastOneAlways() throws InterruptedException {
    FakeServer.Stream stream =
        welcomed(
            builder()
                .handle(
                    "progress",
                    Void.class,
                    (job, data) -> {
                      for (int percent = 1; percent <= 100; percent++) {
                        job.progress(percent / 100.0, "");
                      }
                      return null;
                    }));

    outcome(stream, job("progress", ""));

    List<Double> told =
        stream.frames.stream()
            .flatMap(frame -> frame.getUpdate().getItemsList().stream())
            .filter(UpdateItem::hasProgress)
            .map(item -> item.getProgress().getRatio())
            .toList();
    assertEquals(1.0, told.get(told.size() - 1));
    assertTrue(told.size() <= 2);
  }

  @Test
  void aJobThatHasFailedForGoodIsToldToItsHandlersHook() throws InterruptedException {
    BlockingQueue<String> told = new LinkedBlockingQueue<>();
    HandlerOptions options =
        HandlerOptions.standard()
            .retryingIf(error -> false)
            .onFailed((job, error) -> told.add(error.getMessage()));
    FakeServer.Stream stream =
        welcomed(
            builder()
                .handle(
                    "hopeless",
                    Void.class,
                    (job, data) -> {
                      throw new IllegalStateException("no hope");
                    },
                    options));
    LeasedJob hopeless = job("hopeless", "");
    stream.deliver(hopeless);

    SettleItem item = stream.settle(hopeless);
    stream.answer(hopeless, SettleCode.SETTLE_CODE_OK, JobState.JOB_STATE_FAILED);

    assertFalse(item.getFail().getRetryable());
    assertEquals("no hope", told.poll(20, TimeUnit.SECONDS));
  }

  @Test
  void aWorkerLeavesAfterSoManyJobs() throws InterruptedException {
    FakeServer.Stream stream = start(builder().maxJobs(2).slots(1));
    assertEquals(2, stream.welcome().getWindow().getMaxInFlight());

    outcome(stream, job("noop", ""));
    outcome(stream, job("noop", ""));
    stream.left();
    stream.end();

    assertEquals(ExitReason.MAX_JOBS, exit.join());
  }

  @Test
  void aWorkerLeavesAfterItsLifetime() throws InterruptedException {
    FakeServer.Stream stream = welcomed(builder().maxLifetime(Duration.ofMillis(1)));

    stream.left();
    stream.end();

    assertEquals(ExitReason.MAX_LIFETIME, exit.join());
  }

  @Test
  void theHealthFileIsThereWhileTheWorkerIs(@TempDir Path directory) throws InterruptedException {
    Path file = directory.resolve("healthy");
    FakeServer.Stream stream = welcomed(builder().healthFile(file));
    while (!Files.exists(file)) {
      Thread.onSpinWait();
    }

    worker.stop();
    stream.left();
    stream.end();
    exit.join();

    assertFalse(Files.exists(file));
  }

  @Test
  void whatAHandlerReturnsAfterItsLeaseMayBeGoneIsNotSettledAsComplete()
      throws InterruptedException {
    FakeServer.Stream stream =
        start(
            builder()
                .handle(
                    "stubborn",
                    Void.class,
                    (job, data) -> {
                      began.add(job.jobId());
                      while (!job.isStopped()) {
                        Thread.onSpinWait();
                      }
                      return "done all the same";
                    }));
    stream.welcome(Duration.ofSeconds(2));
    LeasedJob running = job("stubborn", "");
    stream.deliver(running);
    awaitBegin();

    assertEquals(Ending.LOST, ending());
    FakeServer.Stream again = server.stream();
    again.welcome(Duration.ofSeconds(30), running);

    assertTrue(again.confirm(running).hasRelease());
  }

  @Test
  void jobsThatFollowMayBeAskedForByManyThreads() throws InterruptedException {
    FakeServer.Stream stream =
        welcomed(
            builder()
                .handle(
                    "fans",
                    Void.class,
                    (job, data) -> {
                      IntStream.range(0, 500)
                          .parallel()
                          .forEach(number -> job.dispatch(JobRequest.of("next", number)));
                      return null;
                    }));

    assertEquals(500, outcome(stream, job("fans", "")).getComplete().getDispatchCount());
  }

  @Test
  void aWorkerEndsOnceTheHooksOfItsFailuresHaveEnded() throws InterruptedException {
    CountDownLatch left = new CountDownLatch(1);
    BlockingQueue<String> told = new LinkedBlockingQueue<>();
    HandlerOptions options =
        HandlerOptions.standard()
            .onFailed(
                (job, error) -> {
                  try {
                    left.await();
                  } catch (InterruptedException interrupted) {
                    Thread.currentThread().interrupt();
                  }
                  told.add(error.getMessage());
                });
    JobHandler<Void> hopeless =
        (job, data) -> {
          throw new NonRetryableException("no hope");
        };
    FakeServer.Stream stream =
        welcomed(builder().maxJobs(1).handle("hopeless", Void.class, hopeless, options));
    LeasedJob job = job("hopeless", "");
    stream.deliver(job);
    stream.settle(job);
    stream.answer(job, SettleCode.SETTLE_CODE_OK, JobState.JOB_STATE_FAILED);

    stream.left();
    left.countDown();
    stream.end();
    exit.join();

    assertEquals(List.of("no hope"), List.copyOf(told));
  }

  @Test
  void anErrorOfAListenerCostsNoReport() throws InterruptedException {
    WorkerListener broken =
        new WorkerListener() {
          @Override
          public void ended(JobContext context, Ending ending) {
            throw new AssertionError("the listener's own");
          }
        };
    FakeServer.Stream stream = welcomed(builder().listener(broken));

    assertTrue(outcome(stream, job("noop", "")).hasComplete());
    assertTrue(outcome(stream, job("noop", "")).hasComplete());
  }

  @Test
  void aGraceOfDaysIsAnnouncedAsTheLongestThatAServerTakes() throws InterruptedException {
    FakeServer.Stream stream = welcomed(builder().grace(Duration.ofDays(3)));

    worker.stop();

    LeaseRequest frame = stream.expect("Goodbye", LeaseRequest::hasGoodbye);
    assertEquals(Duration.ofHours(24), Times.read(frame.getGoodbye().getDeadline()));
    stream.end();
  }
}
