package dev.protojobs.worker;

import dev.protojobs.client.ProtoJobsException;
import dev.protojobs.v1.LeaseRequest;
import dev.protojobs.v1.LeaseResponse;
import io.grpc.stub.ClientCallStreamObserver;
import io.grpc.stub.ClientResponseObserver;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.function.LongSupplier;

/** One Lease stream: numbers frames, remembers what was heard when, and ends in exactly one way. */
final class LeaseStream implements ClientResponseObserver<LeaseRequest, LeaseResponse> {
  /** Who hears the stream; called on the session's thread. */
  interface Ears {
    void ready(LeaseStream stream);

    void heard(LeaseStream stream, LeaseResponse frame);

    /** {@code error} is null where the stream has simply ended. */
    void ended(LeaseStream stream, ProtoJobsException error);
  }

  private record Sent(long seq, long at) {}

  private final Ears ears;
  private final LongSupplier clock;
  private final Deque<Sent> unanswered = new ArrayDeque<>();
  private ClientCallStreamObserver<LeaseRequest> call;
  private long seq;
  private long receivedSeq;
  private long lastRead;
  private long lastWrite;
  private long answeredAt;
  private boolean owesReceipt;
  private long receiptAt;
  private boolean toLeave;
  private long leaveAt;
  private boolean goodbyeSent;
  private boolean halfClosed;

  LeaseStream(Ears ears, LongSupplier clock) {
    this.ears = ears;
    this.clock = clock;
    lastRead = clock.getAsLong();
    lastWrite = lastRead;
    answeredAt = lastRead;
  }

  /** Says what is true of a stream that the worker leaves at a time. */
  void leaveAt(long time) {
    toLeave = true;
    leaveAt = time;
  }

  boolean isToLeave() {
    return toLeave;
  }

  /** Returns when to leave; for streams that are told to. */
  long leaveAt() {
    return leaveAt;
  }

  boolean goodbyeSent() {
    return goodbyeSent;
  }

  void goodbye() {
    goodbyeSent = true;
  }

  boolean halfClosed() {
    return halfClosed;
  }

  long lastRead() {
    return lastRead;
  }

  /**
   * Returns when the newest frame that the server says it has read was sent: its lease clock began
   * no earlier.
   */
  long answeredAt() {
    return answeredAt;
  }

  /** Tells whether a frame would leave at once. */
  boolean isReady() {
    return call.isReady() && !halfClosed;
  }

  /** Hands a frame over. False: the call is over, and who hears the stream will be told why. */
  boolean write(LeaseRequest.Builder frame, long startedSeq) {
    long now = clock.getAsLong();
    seq++;
    unanswered.add(new Sent(seq, now));
    try {
      call.onNext(frame.setSeq(seq).setReceivedSeq(receivedSeq).setStartedSeq(startedSeq).build());
    } catch (IllegalStateException over) {
      return false;
    }
    lastWrite = now;
    owesReceipt = false;
    return true;
  }

  /** Notes that a Deliver was read. True: its receipt is to leave by then, and no other is due. */
  boolean delivered(long by) {
    if (owesReceipt) {
      return false;
    }
    owesReceipt = true;
    receiptAt = by;
    return true;
  }

  /** Tells whether a Deliver must be acknowledged now. */
  boolean owesReceipt(long now) {
    return owesReceipt && now - receiptAt >= 0;
  }

  /** Tells whether the next heartbeat must leave now: later it might come too late. */
  boolean owesHeartbeat(Limits limits, long now) {
    return now - (lastWrite + limits.heartbeat() - limits.tick()) >= 0;
  }

  /** Says that no frame follows; the server then ends the stream. */
  void halfClose() {
    halfClosed = true;
    call.onCompleted();
  }

  /** Drops the stream. */
  void cancel() {
    if (call != null) {
      call.cancel("the worker leaves this stream", null);
    }
  }

  @Override
  public void beforeStart(ClientCallStreamObserver<LeaseRequest> stream) {
    call = stream;
    stream.setOnReadyHandler(() -> ears.ready(this));
  }

  @Override
  public void onNext(LeaseResponse frame) {
    lastRead = clock.getAsLong();
    receivedSeq = frame.getSeq();
    while (!unanswered.isEmpty() && unanswered.peek().seq <= frame.getReceivedSeq()) {
      answeredAt = unanswered.poll().at;
    }
    ears.heard(this, frame);
  }

  @Override
  public void onError(Throwable error) {
    ears.ended(this, ProtoJobsException.from(error));
  }

  @Override
  public void onCompleted() {
    ears.ended(this, null);
  }
}
