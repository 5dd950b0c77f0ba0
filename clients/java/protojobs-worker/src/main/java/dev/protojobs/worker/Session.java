package dev.protojobs.worker;

import dev.protojobs.client.Connection;
import dev.protojobs.client.InvalidArgumentException;
import dev.protojobs.client.PermissionDeniedException;
import dev.protojobs.client.ProtoJobsException;
import dev.protojobs.client.Times;
import dev.protojobs.client.UnauthenticatedException;
import dev.protojobs.client.UnsupportedException;
import dev.protojobs.v1.Drain;
import dev.protojobs.v1.DrainReason;
import dev.protojobs.v1.LeaseResponse;
import dev.protojobs.v1.Throttle;
import dev.protojobs.v1.Welcome;
import dev.protojobs.v1.WorkerServiceGrpc;
import dev.protojobs.worker.Holding.Phase;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.random.RandomGenerator;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The worker's side of the Lease stream, from the first Hello to the last Settled: connects, takes
 * jobs, settles outcomes, stays alive, leaves.
 *
 * <p>Everything here runs on one thread, {@code loop}, on which gRPC calls back, too: whatever
 * handlers do, heartbeats go out. What it says, it says in turns: {@link Turn}.
 */
final class Session implements LeaseStream.Ears {
  private static final Logger LOG = LoggerFactory.getLogger(Session.class);

  private static final long WELCOME = Duration.ofSeconds(10).toNanos();
  private static final long LOCKED_OUT = Duration.ofSeconds(60).toNanos();
  // A Deliver is acknowledged with the next frame, at the latest after this (the server's limit is
  // 5 s).
  private static final long RECEIPT = Duration.ofMillis(50).toNanos();
  private static final long EOF = Duration.ofSeconds(2).toNanos();
  // Handlers that end within this are told of by one frame.
  private static final long GATHER = Duration.ofMillis(1).toNanos();

  final Holding holding;
  final Leaving leaving;
  final Executor executor;

  private final WorkerOptions options;
  private final List<String> kinds;
  private final Connection connection;
  private final List<WorkerListener> listeners;
  private final ScheduledExecutorService loop;
  private final Answers answers;
  private final Pacing.Reconnect reconnect;
  private final AtomicBoolean turnAsked = new AtomicBoolean();
  private final CompletableFuture<ExitReason> ended = new CompletableFuture<>();
  private Identity identity = new Identity();
  private LeaseStream stream;
  private long answeredAt;
  private long downSince;
  private long lockedOutToldAt;
  private boolean lockedOut;
  private boolean connected;
  private boolean wasWelcome;
  private boolean fenced;
  private boolean over;

  Session(
      WorkerOptions options,
      Map<String, Handler> handlers,
      Connection connection,
      List<WorkerListener> listeners,
      ScheduledExecutorService loop,
      RandomGenerator random) {
    this.options = options;
    this.kinds = handlers.keySet().stream().sorted().toList();
    this.connection = connection;
    this.listeners = listeners;
    this.loop = loop;
    reconnect = new Pacing.Reconnect(random);
    executor =
        new Executor(
            handlers,
            new Execution(listeners),
            options.slots(),
            options.stopGrace().toNanos(),
            this::wake,
            () -> later(GATHER, this::wake));
    downSince = now();
    answeredAt = now();
    holding = new Holding(options, executor, listeners, this::wake, now());
    leaving = new Leaving(options, holding, listeners, this::wake);
    answers =
        new Answers(
            holding, executor, listeners, this::wake, this::later, random, System::nanoTime);
  }

  private static long now() {
    return System.nanoTime();
  }

  // ---- doors from other threads

  /** Begins; completes with why the worker has ended once everything is settled. */
  CompletableFuture<ExitReason> start() {
    on(this::open);
    on(this::upkeep);
    return ended;
  }

  /** Finishes what runs and ends; a second call with KILLED ends at once. */
  void leave(ExitReason reason) {
    on(() -> leaveNow(reason, null));
  }

  /** Takes no more jobs, and gives back what has not begun. */
  void quiet() {
    on(leaving::quiet);
  }

  /** Asks for a turn. */
  private void wake() {
    if (turnAsked.compareAndSet(false, true)) {
      on(this::turn);
    }
  }

  /**
   * Runs on the session's thread. An error there ends the stream, not the worker: the next one
   * resumes.
   */
  void on(Runnable action) {
    try {
      loop.execute(() -> guarded(action));
    } catch (RejectedExecutionException closed) {
      LOG.debug("the session has ended");
    }
  }

  private void later(long nanos, Runnable action) {
    try {
      loop.schedule(() -> guarded(action), nanos, TimeUnit.NANOSECONDS);
    } catch (RejectedExecutionException closed) {
      LOG.debug("the session has ended");
    }
  }

  private void guarded(Runnable action) {
    if (over) {
      return;
    }
    try {
      action.run();
    } catch (RuntimeException | Error error) {
      LOG.error("the session failed; opening its stream again", error);
      if (stream != null) {
        ended(stream, null);
      }
    }
  }

  // ---- streams

  private void open() {
    if (stream != null) {
      return;
    }
    identity.nextStream();
    holding.collect(now());
    holding.ledger.openStream(identity.streamNo());
    holding.windowTold = holding.window();
    stream = new LeaseStream(this, System::nanoTime);
    LeaseStream opened = stream;
    try {
      WorkerServiceGrpc.newStub(connection.channel()).withExecutor(loop).lease(opened);
      opened.write(Frames.hello(options, kinds, identity, holding, now()), 0);
    } catch (ProtoJobsException error) { // of the token file
      ended(opened, error);
      return;
    }
    later(
        WELCOME,
        () -> {
          if (stream == opened && !connected) {
            LOG.warn("no Welcome within 10 s");
            ended(opened, null);
          }
        });
  }

  private void welcome(Welcome welcome) {
    boolean resumed = identity.welcomed();
    holding.limits = Limits.of(welcome);
    holding.resume(welcome.getKeptList(), now());
    answeredAt = stream.answeredAt();
    fenced = false;
    wasWelcome = true;
    lockedOut = false;
    connected = true;
    reconnect.welcomed();
    LOG.info(
        "stream open to {}: {} leases kept, {} lost",
        welcome.getServerId(),
        welcome.getKeptCount(),
        welcome.getLostCount());
    String mark = identity.mark();
    listeners.forEach(listener -> Execution.tell(() -> listener.connected(mark, resumed)));
    wake();
  }

  @Override
  public void ready(LeaseStream which) {
    if (which == stream) {
      wake();
    }
  }

  @Override
  public void heard(LeaseStream which, LeaseResponse frame) {
    if (which == stream) {
      guarded(() -> hear(frame));
    }
  }

  private void hear(LeaseResponse frame) {
    if (!connected) {
      if (frame.getFrameCase() == LeaseResponse.FrameCase.WELCOME) {
        welcome(frame.getWelcome());
      } else {
        ended(stream, new ProtoJobsException("the first frame is not Welcome"));
      }
      return;
    }
    switch (frame.getFrameCase()) {
      case DELIVER -> {
        holding.deliver(frame.getDeliver(), now());
        long wait = holding.ledger.running() > 0 ? RECEIPT : 0;
        if (stream.delivered(now() + wait)) {
          later(wait, this::wake);
        }
      }
      case SETTLED -> answers.settled(frame.getSettled());
      case CANCEL -> answers.cancel(frame.getCancel());
      case DRAIN -> drain(frame.getDrain());
      case THROTTLE -> throttle(frame.getThrottle());
      default -> {
        // A heartbeat, or a frame of a later version.
      }
    }
  }

  private void drain(Drain drain) {
    LOG.info("drain: {}", drain.getReason());
    if (drain.getReason() == DrainReason.DRAIN_REASON_WORKER) {
      leaveNow(ExitReason.DRAINED, drain.hasDeadline() ? Times.read(drain.getDeadline()) : null);
      return;
    }
    long wait = Times.read(drain.getReconnectAfter()).toNanos();
    stream.leaveAt(now() + wait);
    later(wait, this::wake);
    wake();
  }

  private static void throttle(Throttle throttle) {
    LOG.debug("jobs of queue {} are held back: {}", throttle.getQueue(), throttle.getWhy());
  }

  /** Ends a stream once; decides what that means for the session, and when the next one begins. */
  @Override
  public void ended(LeaseStream which, ProtoJobsException error) {
    if (which != stream) {
      return;
    }
    stream = null;
    which.cancel();
    if (connected) {
      hear(which);
      connected = false;
      downSince = now();
    }
    if (error != null) {
      judge(error);
    }
    if (which.halfClosed()) {
      finish(leaving.exit());
    }
    if (!over) {
      // The server may have ended it first: a worker that leaves has nothing to come back for.
      press(now());
    }
    if (over) {
      return;
    }
    // Told to leave: no backoff, but not before the server wants us back.
    long wait = which.isToLeave() ? Math.max(0, which.leaveAt() - now()) : reconnect.next();
    LOG.info(
        "next stream in {} ms; {} jobs are held",
        Duration.ofNanos(wait).toMillis(),
        holding.ledger.size());
    connection.hasten();
    later(wait, this::open);
  }

  private void judge(ProtoJobsException error) {
    String reason = error.reason();
    if (reason.equals("SESSION_CLOSED") || reason.equals("SESSION_SUPERSEDED")) {
      // The server knows this session no more: what it held is not ours, a new one begins.
      LOG.warn("session is over ({}); starting a new one", reason);
      holding.reset(now());
      identity = new Identity();
      return;
    }
    boolean unwelcome =
        error instanceof UnauthenticatedException || error instanceof PermissionDeniedException;
    boolean refused =
        unwelcome
            || error instanceof InvalidArgumentException
            || error instanceof UnsupportedException
            || reason.equals("PROTOCOL_VIOLATION");
    if (refused && !wasWelcome) {
      // Trying again would change nothing: no server takes this worker as it is.
      LOG.error("this worker is refused: {}", error.getMessage());
      finish(ExitReason.REFUSED);
    } else if (unwelcome) {
      tellLockedOut(error);
    } else {
      LOG.warn("stream ended: {}", error.getMessage());
    }
  }

  /**
   * Says that credentials which were good are so no more: at once, and then once a minute as long
   * as that lasts.
   */
  private void tellLockedOut(ProtoJobsException error) {
    if (!lockedOut || now() - (lockedOutToldAt + LOCKED_OUT) >= 0) {
      lockedOut = true;
      lockedOutToldAt = now();
      LOG.error(
          "credentials are not accepted any more; what runs goes on, and each try reads the token file again: {}",
          error.getMessage());
    }
  }

  // ---- turns

  private void turn() {
    turnAsked.set(false);
    LeaseStream current = stream;
    if (!connected || current == null || !current.isReady()) {
      return;
    }
    Runnable usedUp = () -> leaveNow(ExitReason.MAX_JOBS, null);
    boolean wrote = new Turn(current, holding, leaving.deadline(), usedUp).take();
    if (wrote && holding.ledger.unsent() > 0) {
      wake(); // what was given back unstarted
    }
    if (stream != current) {
      return;
    }
    if (current.isToLeave() && now() - current.leaveAt() >= 0) {
      ended(current, null);
    } else if (current.goodbyeSent() && holding.nothingLeft() && !current.halfClosed()) {
      current.halfClose();
      later(EOF, () -> ended(current, null));
    }
  }

  // ---- upkeep

  /** Looks after everything that only time brings about. */
  private void upkeep() {
    long now = now();
    try {
      if (!connected) {
        holding.collect(now);
      }
      watchStream(now);
      fence(now);
      holding.watch(now);
      if (holding.stuck >= options.stuckLimit() && holding.phase != Phase.LEAVING) {
        LOG.error("too many stuck handlers ({}); leaving", holding.stuck);
        leaveNow(ExitReason.STUCK, null);
      }
      if (holding.adapt(now) && holding.window() != holding.windowTold) {
        wake();
      }
      press(now);
    } finally {
      if (!over) {
        later(holding.limits.tick(), this::upkeep);
      }
    }
  }

  private void hear(LeaseStream which) {
    if (which.answeredAt() - answeredAt > 0) {
      answeredAt = which.answeredAt();
      fenced = false;
    }
  }

  private void watchStream(long now) {
    LeaseStream current = stream;
    if (current == null || !connected) {
      return;
    }
    hear(current);
    if (now - (current.lastRead() + 3 * holding.limits.heartbeat()) > 0) {
      LOG.warn("no frame in three heartbeat intervals; dropping the stream");
      ended(current, null);
    } else if (!holding.updates.isEmpty()
        || current.owesReceipt(now)
        || current.owesHeartbeat(holding.limits, now)) {
      wake();
    }
  }

  /**
   * Stops handlers whose leases may be gone: no answer for 80 % of the session's life without a
   * heartbeat.
   */
  private void fence(long now) {
    if (fenced
        || holding.ledger.running() == 0
        || now - (answeredAt + holding.limits.ttl() / 5 * 4) < 0) {
      return;
    }
    fenced = true;
    LOG.warn("no answer for 80 % of the session's ttl; stopping handlers");
    holding.stop(holding.ledger.runningLeases(), StopReason.LEASE_LOST, now);
  }

  // ---- leaving

  private void leaveNow(ExitReason reason, Duration within) {
    leaving.leave(reason, within, now());
    if (reason == ExitReason.KILLED) {
      press(now());
    }
  }

  private void press(long now) {
    if (leaving.press(now, connected)) {
      finish(leaving.exit());
    }
  }

  private void finish(ExitReason reason) {
    over = true;
    leaving.exit(reason);
    holding.phase = Phase.LEAVING;
    if (stream != null) {
      stream.cancel();
      stream = null;
    }
    executor.close();
    ended.complete(reason);
  }

  // ---- looks from other threads

  /** How the session is at one moment. */
  record State(boolean healthy, boolean connected, boolean idle, Phase phase, long idleNanos) {}

  /** Returns how the session is; never completes if its thread does not turn any more. */
  CompletableFuture<State> look() {
    CompletableFuture<State> found = new CompletableFuture<>();
    on(
        () -> {
          boolean healthy =
              connected || now() - (downSince + options.unhealthyAfter().toNanos()) < 0;
          long idleNanos = now() - holding.lastBusy;
          found.complete(
              new State(healthy, connected, holding.ledger.isIdle(), holding.phase, idleNanos));
        });
    return found;
  }

  /** Counts handlers that have ended. For after the end. */
  long processed() {
    return holding.ended;
  }
}
