package dev.protojobs.client;

import dev.protojobs.client.DispatchResult.Refused;
import dev.protojobs.v1.DispatchOutcome;
import dev.protojobs.v1.DispatchStreamRequest;
import dev.protojobs.v1.DispatchStreamResponse;
import dev.protojobs.v1.DispatchStreamResult;
import dev.protojobs.v1.JobServiceGrpc;
import dev.protojobs.v1.JobSpec;
import dev.protojobs.v1.JobState;
import io.grpc.Status;
import io.grpc.stub.ClientCallStreamObserver;
import io.grpc.stub.ClientResponseObserver;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.List;
import java.util.Optional;
import java.util.TreeMap;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Executor;
import java.util.concurrent.ForkJoinPool;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.ScheduledFuture;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.TimeUnit;
import java.util.function.Function;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Dispatches single jobs together: packs what waits into frames of one DispatchStream, at most
 * {@link #MAX_FRAMES} of them unacknowledged so that later jobs gather meanwhile, and hands out the
 * answers. When the stream is lost it opens another and sends what is unacknowledged again, in
 * order and with the same ids.
 *
 * <p>All state belongs to one thread, that of {@code loop}.
 */
final class DispatchPipe implements AutoCloseable {
  private static final Logger LOG = LoggerFactory.getLogger(DispatchPipe.class);

  private static final int MAX_FRAMES = 4;
  private static final int MAX_ITEMS = Batches.MAX_ITEMS;
  private static final int FIRST_WINDOW = 1000;
  private static final long SWEEP_MILLIS = 250;
  private static final Duration IDLE = Duration.ofSeconds(30);
  private static final Duration CLOSE_GRACE = Duration.ofSeconds(5);
  // Where there are but two processors, CompletableFuture makes a thread for each task, also if it
  // is given the common pool as such.
  private static final Executor CALLERS =
      ForkJoinPool.getCommonPoolParallelism() > 0
          ? task -> ForkJoinPool.commonPool().execute(task)
          : new CompletableFuture<>().defaultExecutor();

  private final Connection connection;
  private final Function<List<JobSpec>, List<DispatchResult>> sendBatch;
  private final ScheduledExecutorService loop;
  private final Deque<Item> queue = new ArrayDeque<>();
  private final TreeMap<Long, Frame> frames = new TreeMap<>();
  private Backoff backoff = new Backoff(ThreadLocalRandom.current());
  private Answers stream;
  private ScheduledFuture<?> silence;
  private boolean waiting;
  private boolean streaming = true;
  private boolean closed;
  private int inFlight;
  private long window = FIRST_WINDOW;
  private long lastSeq;

  /** {@code sendBatch} is the way without a stream: it may block, and answers each item. */
  DispatchPipe(
      Connection connection,
      Function<List<JobSpec>, List<DispatchResult>> sendBatch,
      ScheduledExecutorService loop) {
    this.connection = connection;
    this.sendBatch = sendBatch;
    this.loop = loop;
    loop.scheduleWithFixedDelay(this::sweep, SWEEP_MILLIS, SWEEP_MILLIS, TimeUnit.MILLISECONDS);
  }

  /** One job and who waits for its answer. */
  private record Item(
      JobSpec spec, int size, long patientUntil, CompletableFuture<DispatchResult> answer) {
    void giveUp(long now) {
      if (now - patientUntil >= 0 && !answer.isDone()) {
        refuse(late());
      }
    }

    void refuse(ProtoJobsException error) {
      answer.complete(new Refused(spec.getId(), error));
    }
  }

  /** What was sent under one number, and the answers to it that were not CREATED. */
  private record Frame(List<Item> items, DispatchResult[] results) {
    void acknowledge() {
      for (int index = 0; index < items.size(); index++) {
        Item item = items.get(index);
        item.answer.complete(results[index] != null ? results[index] : created(item.spec.getId()));
      }
    }

    private static DispatchResult created(String jobId) {
      return new DispatchResult.Stored(
          new Dispatched(
              jobId, DispatchOutcome.DISPATCH_OUTCOME_CREATED, JobState.JOB_STATE_UNSPECIFIED));
    }
  }

  /** Dispatches one job. The end of the call timeout is a Refused whose outcome is unknown. */
  CompletableFuture<DispatchResult> submit(JobSpec spec) {
    CompletableFuture<DispatchResult> answer = new CompletableFuture<>();
    long patience = connection.options().callTimeout().toNanos();
    Item item = new Item(spec, Batches.sizeOf(spec), System.nanoTime() + patience, answer);
    loop.execute(
        () -> {
          if (closed) {
            item.refuse(closedError());
          } else {
            queue.add(item);
            pump();
          }
        });
    // What callers do with an answer must not hold up this thread, which makes all of them.
    return answer.thenApplyAsync(Function.identity(), CALLERS);
  }

  /** Refuses what has waited for the whole call timeout, whatever the stream is about. */
  private void sweep() {
    long now = System.nanoTime();
    for (Item item : queue) {
      item.giveUp(now);
    }
    for (Frame frame : frames.values()) {
      frame.items.forEach(item -> item.giveUp(now));
    }
    queue.removeIf(item -> item.answer.isDone());
  }

  private void pump() {
    if (!streaming) {
      sendWithoutStream();
      return;
    }
    if (stream == null) {
      if (!waiting && !queue.isEmpty()) {
        open();
      }
      return;
    }
    while (!queue.isEmpty() && frames.size() < MAX_FRAMES && stream.call.isReady()) {
      List<Item> items = take();
      if (items.isEmpty()) {
        return;
      }
      frames.put(++lastSeq, new Frame(items, new DispatchResult[items.size()]));
      inFlight += items.size();
      DispatchStreamRequest.Builder frame = DispatchStreamRequest.newBuilder().setSeq(lastSeq);
      items.forEach(item -> frame.addSpecs(item.spec));
      stream.call.onNext(frame.build());
      if (frames.size() == 1) {
        expectNews();
      }
    }
  }

  /** Takes what the server's window and the size of a message allow. */
  private List<Item> take() {
    // With nothing in flight no acknowledgement would ever open a window of 0.
    long allowed = Math.min(MAX_ITEMS, Math.max(window - inFlight, frames.isEmpty() ? 1 : 0));
    long room = Batches.room(connection.options().maxMessageBytes());
    List<Item> items = new ArrayList<>();
    while (!queue.isEmpty()
        && items.size() < allowed
        && (items.isEmpty() || queue.peek().size <= room)) {
      Item item = queue.poll();
      if (!item.answer.isDone()) {
        room -= item.size;
        items.add(item);
      }
    }
    return items;
  }

  private void open() {
    window = FIRST_WINDOW;
    lastSeq = 0;
    stream = new Answers();
    Answers opened = stream;
    try {
      JobServiceGrpc.newStub(connection.channel()).withExecutor(loop).dispatchStream(opened);
      expectNews();
    } catch (RuntimeException error) { // of the token file
      ended(opened, Statuses.translate(error));
    }
  }

  private void acknowledge(DispatchStreamResponse answer) {
    if (answer.getUpToSeq() > 0) {
      backoff = new Backoff(ThreadLocalRandom.current());
    }
    window = answer.getWindow();
    for (DispatchStreamResult result : answer.getResultsList()) {
      Frame frame = frames.get(result.getSeq());
      if (frame != null && result.getIndex() < frame.items.size()) {
        String sentId = frame.items.get(result.getIndex()).spec.getId();
        frame.results[result.getIndex()] = Batches.read(result.getResult(), sentId);
      }
    }
    while (!frames.isEmpty() && frames.firstKey() <= answer.getUpToSeq()) {
      Frame frame = frames.pollFirstEntry().getValue();
      inFlight -= frame.items.size();
      frame.acknowledge();
    }
    expectNews();
    pump();
  }

  /**
   * Gives the stream up if the server says nothing although it should; closes it when nothing has
   * come for a while.
   */
  private void expectNews() {
    if (silence != null) {
      silence.cancel(false);
    }
    Answers watched = stream;
    boolean idle = frames.isEmpty() && queue.isEmpty();
    Duration patience = idle ? IDLE : connection.options().dispatchDeadline();
    silence =
        loop.schedule(
            () -> {
              if (stream == watched && watched != null) {
                boolean unused = frames.isEmpty() && queue.isEmpty();
                watched.call.cancel(unused ? "idle" : "no acknowledgement in time", null);
                ended(watched, unused ? null : late());
              }
            },
            patience.toNanos(),
            TimeUnit.NANOSECONDS);
  }

  private void ended(Answers which, ProtoJobsException error) {
    if (stream != which) {
      return;
    }
    stream = null;
    boolean lost = !frames.isEmpty();
    takeBack();
    ProtoJobsException why = error == null && lost ? unanswered() : error;
    if (why instanceof UnsupportedException) {
      LOG.info("server has no dispatch stream");
      streaming = false;
      pump();
    } else if (why != null && !why.isRetryable()) {
      // One caller's job must not fail another's: each gets its own verdict.
      sendWithoutStream();
    } else if (!queue.isEmpty()) {
      again(why);
    }
  }

  private void again(ProtoJobsException why) {
    queue.removeIf(item -> item.answer.isDone());
    Optional<Duration> wait = why == null ? Optional.of(Duration.ZERO) : backoff.after(why);
    waiting = true;
    loop.schedule(
        () -> {
          waiting = false;
          connection.hasten();
          pump();
        },
        wait.orElse(Duration.ZERO).toNanos(),
        TimeUnit.NANOSECONDS);
  }

  /**
   * Returns what was sent and not acknowledged to the queue, in order, as if it had not been sent.
   */
  private void takeBack() {
    for (Frame frame : frames.descendingMap().values()) {
      for (int index = frame.items.size() - 1; index >= 0; index--) {
        queue.addFirst(frame.items.get(index));
      }
    }
    frames.clear();
    inFlight = 0;
  }

  private void sendWithoutStream() {
    while (!queue.isEmpty()) {
      List<Item> items = streaming ? List.of(queue.poll()) : take();
      CompletableFuture.supplyAsync(() -> sendBatch.apply(items.stream().map(Item::spec).toList()))
          .whenComplete(
              (results, error) -> {
                for (int index = 0; index < items.size(); index++) {
                  if (error == null) {
                    items.get(index).answer.complete(results.get(index));
                  } else {
                    items.get(index).refuse(Statuses.translate(error));
                  }
                }
              });
    }
  }

  private static ProtoJobsException late() {
    return new DeadlineExceededException(
        "no acknowledgement came in time",
        ProtoJobsException.Details.of(Status.Code.DEADLINE_EXCEEDED));
  }

  private static ProtoJobsException unanswered() {
    return new UnavailableException(
        "the server ended the stream", ProtoJobsException.Details.of(Status.Code.UNAVAILABLE));
  }

  private static ProtoJobsException closedError() {
    return new ProtoJobsException("the client is closed");
  }

  /** Finishes what was submitted, for at most 5 s; the rest is refused. */
  @Override
  public void close() {
    CompletableFuture<Void> done = new CompletableFuture<>();
    loop.execute(
        () -> {
          closed = true;
          List<CompletableFuture<DispatchResult>> open = new ArrayList<>();
          queue.forEach(item -> open.add(item.answer));
          frames.values().forEach(frame -> frame.items.forEach(item -> open.add(item.answer)));
          CompletableFuture.allOf(open.toArray(CompletableFuture[]::new))
              .completeOnTimeout(null, CLOSE_GRACE.toMillis(), TimeUnit.MILLISECONDS)
              .whenComplete((nothing, error) -> loop.execute(() -> end(done)));
        });
    done.join();
  }

  private void end(CompletableFuture<Void> done) {
    if (silence != null) {
      silence.cancel(false);
    }
    takeBack();
    queue.forEach(item -> item.refuse(closedError()));
    queue.clear();
    if (stream != null) {
      stream.call.cancel("the client is closed", null);
      stream = null;
    }
    done.complete(null);
  }

  /** Hears one stream. */
  private final class Answers
      implements ClientResponseObserver<DispatchStreamRequest, DispatchStreamResponse> {
    private ClientCallStreamObserver<DispatchStreamRequest> call;

    @Override
    public void beforeStart(ClientCallStreamObserver<DispatchStreamRequest> stream) {
      call = stream;
      stream.setOnReadyHandler(DispatchPipe.this::pump);
    }

    @Override
    public void onNext(DispatchStreamResponse answer) {
      if (stream == this) {
        acknowledge(answer);
      }
    }

    @Override
    public void onError(Throwable error) {
      ended(this, Statuses.translate(error));
    }

    @Override
    public void onCompleted() {
      ended(this, null);
    }
  }
}
