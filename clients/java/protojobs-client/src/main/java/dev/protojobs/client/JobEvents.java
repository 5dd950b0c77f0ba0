package dev.protojobs.client;

import com.google.protobuf.ByteString;
import dev.protojobs.v1.JobEvent;
import dev.protojobs.v1.JobFilter;
import dev.protojobs.v1.JobServiceGrpc;
import dev.protojobs.v1.WatchJobsRequest;
import dev.protojobs.v1.WatchJobsResponse;
import io.grpc.Context;
import io.grpc.Context.CancellableContext;
import io.grpc.Status;
import io.grpc.stub.ClientCallStreamObserver;
import io.grpc.stub.ClientResponseObserver;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.Iterator;
import java.util.NoSuchElementException;
import java.util.Optional;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.TimeUnit;

/**
 * Events of jobs as they come, for ever: {@link #next} waits for the next one. A lost connection
 * and a server that leaves are made good without a gap.
 *
 * <p>For one thread; {@link #close} may be called from another. Throws only what no retry can help,
 * such as CURSOR_EXPIRED, and, until the first answer has come, what the call timeout does not
 * outlast.
 */
public final class JobEvents implements Iterator<JobEvent>, AutoCloseable {
  // The server speaks every 10 s.
  private static final Duration SILENCE = Duration.ofSeconds(35);
  private static final long AFTER_AN_END_MILLIS = 500;
  private static final int BUFFERED = 2;

  private final Connection connection;
  private final JobFilter filter;
  private final Deque<JobEvent> events = new ArrayDeque<>();
  private final BlockingQueue<Runnable> heard = new LinkedBlockingQueue<>();
  private final long patientUntil;
  private Backoff backoff = new Backoff(ThreadLocalRandom.current());
  private ByteString cursor;
  private volatile Answers stream;
  private boolean answered;
  private volatile boolean closed;

  JobEvents(Connection connection, JobFilter filter, ByteString cursor) {
    this.connection = connection;
    this.filter = filter;
    this.cursor = cursor;
    this.patientUntil = System.nanoTime() + connection.options().callTimeout().toNanos();
  }

  /** Returns once the server has answered: what happens from now on will come. */
  JobEvents begin() {
    while (!answered && !closed) {
      advance();
    }
    return this;
  }

  /** {@return the place behind the last event that was given: keep it to go on there later} */
  public ByteString cursor() {
    return cursor;
  }

  /** Waits for an event. False: it was closed. */
  @Override
  public boolean hasNext() {
    while (events.isEmpty() && !closed) {
      advance();
    }
    return !events.isEmpty();
  }

  @Override
  public JobEvent next() {
    if (!hasNext()) {
      throw new NoSuchElementException("the watch is closed");
    }
    JobEvent event = events.poll();
    cursor = event.getCursor();
    return event;
  }

  /** Does one thing that was heard, or gives up a stream that is silent. */
  private void advance() {
    if (stream == null) {
      stream = new Answers();
      WatchJobsRequest request =
          WatchJobsRequest.newBuilder().setFilter(filter).setCursor(cursor).build();
      try {
        stream.start(request);
      } catch (RuntimeException error) { // of the token file
        ended(error);
        return;
      }
      if (closed) {
        drop();
        return;
      }
    }
    try {
      long patience = SILENCE.toNanos();
      if (!answered) {
        patience = Math.min(patience, patientUntil - System.nanoTime());
      }
      Runnable next = heard.poll(patience, TimeUnit.NANOSECONDS);
      if (next == null) {
        drop();
        giveUpUnanswered();
      } else {
        next.run();
      }
    } catch (InterruptedException error) {
      Thread.currentThread().interrupt();
      close();
      throw new ProtoJobsException("the thread was interrupted");
    }
  }

  private void giveUpUnanswered() {
    if (!answered && System.nanoTime() - patientUntil >= 0) {
      closed = true;
      throw new DeadlineExceededException(
          "no server has answered", ProtoJobsException.Details.of(Status.Code.DEADLINE_EXCEEDED));
    }
  }

  private void take(WatchJobsResponse answer) {
    answered = true;
    backoff = new Backoff(ThreadLocalRandom.current());
    events.addAll(answer.getEventsList());
    if (events.isEmpty()) {
      cursor = answer.getCursor();
    }
  }

  private void ended(Throwable error) {
    drop();
    if (closed) {
      return;
    }
    if (error == null) {
      pause(Duration.ofMillis(ThreadLocalRandom.current().nextLong(AFTER_AN_END_MILLIS)));
      return;
    }
    ProtoJobsException told = Statuses.translate(error);
    Optional<Duration> wait = backoff.after(told);
    if (wait.isEmpty() || (!answered && System.nanoTime() + wait.get().toNanos() >= patientUntil)) {
      closed = true;
      throw told;
    }
    pause(wait.get());
    connection.hasten();
  }

  /** Waits, but no longer than until it is closed. */
  private void pause(Duration wait) {
    try {
      Runnable news = heard.poll(wait.toNanos(), TimeUnit.NANOSECONDS);
      if (news != null) {
        news.run();
      }
    } catch (InterruptedException error) {
      Thread.currentThread().interrupt();
      close();
    }
  }

  private void drop() {
    Answers left = stream;
    stream = null;
    if (left != null) {
      left.context.cancel(null);
    }
  }

  /** Ends it; whoever iterates comes to the end. May be repeated. */
  @Override
  public void close() {
    closed = true;
    Answers open = stream;
    if (open != null) {
      open.context.cancel(null);
    }
    // Wakes whoever waits.
    heard.add(() -> {});
  }

  /**
   * Hears one stream; asks for the next message when one was handled, so that a slow reader is felt
   * by the server.
   */
  private final class Answers
      implements ClientResponseObserver<WatchJobsRequest, WatchJobsResponse> {
    private final CancellableContext context = Context.ROOT.withCancellation();
    private ClientCallStreamObserver<WatchJobsRequest> call;

    void start(WatchJobsRequest request) {
      context.run(() -> JobServiceGrpc.newStub(connection.channel()).watchJobs(request, this));
    }

    private void hear(Runnable action) {
      heard.add(
          () -> {
            if (stream == this) {
              action.run();
            }
          });
    }

    @Override
    public void beforeStart(ClientCallStreamObserver<WatchJobsRequest> stream) {
      call = stream;
      stream.disableAutoRequestWithInitial(BUFFERED);
    }

    @Override
    public void onNext(WatchJobsResponse answer) {
      hear(
          () -> {
            take(answer);
            call.request(1);
          });
    }

    @Override
    public void onError(Throwable error) {
      hear(() -> ended(error));
    }

    @Override
    public void onCompleted() {
      hear(() -> ended(null));
    }
  }
}
