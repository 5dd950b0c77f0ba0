package dev.protojobs.worker;

import com.google.protobuf.ByteString;
import dev.protojobs.client.Connection;
import dev.protojobs.client.ConnectionOptions;
import dev.protojobs.client.Times;
import dev.protojobs.v1.Deliver;
import dev.protojobs.v1.Hello;
import dev.protojobs.v1.JobSpec;
import dev.protojobs.v1.JobState;
import dev.protojobs.v1.LeaseRef;
import dev.protojobs.v1.LeaseRequest;
import dev.protojobs.v1.LeaseResponse;
import dev.protojobs.v1.LeasedJob;
import dev.protojobs.v1.SettleCode;
import dev.protojobs.v1.SettleItem;
import dev.protojobs.v1.Settled;
import dev.protojobs.v1.Welcome;
import dev.protojobs.v1.WorkerServiceGrpc;
import io.grpc.Server;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.inprocess.InProcessChannelBuilder;
import io.grpc.inprocess.InProcessServerBuilder;
import io.grpc.stub.StreamObserver;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.UUID;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.function.Predicate;

/** A server without a will of its own, within the process: a test speaks for it. */
final class FakeServer extends WorkerServiceGrpc.WorkerServiceImplBase implements AutoCloseable {
  private static final long PATIENCE_SECONDS = 20;

  private final BlockingQueue<Stream> streams = new LinkedBlockingQueue<>();
  private final String name = UUID.randomUUID().toString();
  private final Server server;

  FakeServer() {
    try {
      server = InProcessServerBuilder.forName(name).addService(this).build().start();
    } catch (IOException error) {
      throw new UncheckedIOException(error);
    }
  }

  Connection connection() {
    return Connection.over(
        ConnectionOptions.builder().build(), InProcessChannelBuilder.forName(name).build());
  }

  @Override
  public StreamObserver<LeaseRequest> lease(StreamObserver<LeaseResponse> answers) {
    Stream stream = new Stream(answers);
    streams.add(stream);
    return stream;
  }

  /** Waits for the next stream. */
  Stream stream() throws InterruptedException {
    return found(streams.poll(PATIENCE_SECONDS, TimeUnit.SECONDS), "a stream");
  }

  /** Counts streams that no test has taken yet. */
  int waiting() {
    return streams.size();
  }

  private static <T> T found(T value, String what) {
    if (value == null) {
      throw new AssertionError("there was no " + what);
    }
    return value;
  }

  static LeasedJob job(String kind, String payload) {
    String id = UUID.randomUUID().toString();
    JobSpec spec =
        JobSpec.newBuilder()
            .setId(id)
            .setKind(kind)
            .setQueue("main")
            .setPayload(ByteString.copyFromUtf8(payload))
            .setContentType("application/json")
            .build();
    return LeasedJob.newBuilder()
        .setJobId(id)
        .setSpec(spec)
        .setAttempt(1)
        .setMaxRetries(3)
        .setRunTimeout(Times.write(Duration.ofSeconds(300)))
        .build();
  }

  static LeaseRef ref(LeasedJob job) {
    return LeaseRef.newBuilder().setJobId(job.getJobId()).setAttempt(job.getAttempt()).build();
  }

  @Override
  public void close() {
    server.shutdownNow();
  }

  /** The server's side of one stream. */
  static final class Stream implements StreamObserver<LeaseRequest> {
    private static final LeaseRequest LEFT = LeaseRequest.getDefaultInstance();

    final List<LeaseRequest> frames = new ArrayList<>();
    private final BlockingQueue<LeaseRequest> arriving = new LinkedBlockingQueue<>();
    private final StreamObserver<LeaseResponse> answers;
    private long seq;

    Stream(StreamObserver<LeaseResponse> answers) {
      this.answers = answers;
    }

    @Override
    public void onNext(LeaseRequest frame) {
      arriving.add(frame);
    }

    @Override
    public void onError(Throwable error) {
      arriving.add(LEFT);
    }

    @Override
    public void onCompleted() {
      arriving.add(LEFT);
    }

    private LeaseRequest next(String what) throws InterruptedException {
      LeaseRequest frame = found(arriving.poll(PATIENCE_SECONDS, TimeUnit.SECONDS), what);
      if (frame != LEFT) {
        frames.add(frame);
      }
      return frame;
    }

    /** Waits for a frame, also among those that have come. */
    LeaseRequest expect(String what, Predicate<LeaseRequest> holds) throws InterruptedException {
      for (LeaseRequest frame : List.copyOf(frames)) {
        if (holds.test(frame)) {
          return frame;
        }
      }
      while (true) {
        LeaseRequest frame = next(what);
        if (frame == LEFT) {
          throw new AssertionError("the worker left before " + what);
        }
        if (holds.test(frame)) {
          return frame;
        }
      }
    }

    /** Waits until the worker says no more. */
    void left() throws InterruptedException {
      while (next("end of the stream") != LEFT) {
        // What comes before the end stays among the frames.
      }
    }

    synchronized long send(LeaseResponse.Builder frame) {
      seq++;
      long received = frames.isEmpty() ? 0 : frames.get(frames.size() - 1).getSeq();
      answers.onNext(frame.setSeq(seq).setReceivedSeq(received).build());
      return seq;
    }

    Hello welcome(LeasedJob... kept) throws InterruptedException {
      return welcome(Duration.ofSeconds(30), kept);
    }

    Hello welcome(Duration ttl, LeasedJob... kept) throws InterruptedException {
      return welcome(ttl, ttl.dividedBy(4), kept);
    }

    Hello welcome(Duration ttl, Duration heartbeat, LeasedJob... kept) throws InterruptedException {
      Hello hello = expect("Hello", LeaseRequest::hasHello).getHello();
      Welcome.Builder welcome =
          Welcome.newBuilder()
              .setServerId("fake")
              .setSessionTtl(Times.write(ttl))
              .setHeartbeatInterval(Times.write(heartbeat));
      for (LeasedJob job : kept) {
        welcome.addKept(ref(job));
      }
      send(LeaseResponse.newBuilder().setWelcome(welcome));
      return hello;
    }

    long deliver(LeasedJob... jobs) {
      return send(
          LeaseResponse.newBuilder().setDeliver(Deliver.newBuilder().addAllItems(List.of(jobs))));
    }

    /** Waits for the outcome of a job, in either form. */
    SettleItem settle(LeasedJob job) throws InterruptedException {
      LeaseRequest frame =
          expect("outcome of " + job.getSpec().getKind(), each -> !outcomes(each, job).isEmpty());
      List<SettleItem> items = outcomes(frame, job);
      return items.get(0);
    }

    /** Waits for the outcome of a job and confirms it. */
    SettleItem confirm(LeasedJob job) throws InterruptedException {
      SettleItem item = settle(job);
      answer(job, SettleCode.SETTLE_CODE_OK, JobState.JOB_STATE_COMPLETED);
      return item;
    }

    void answer(LeasedJob job, SettleCode code, JobState next) {
      Settled.Builder settled = Settled.newBuilder();
      settled
          .addItemsBuilder()
          .setJobId(job.getJobId())
          .setAttempt(job.getAttempt())
          .setCode(code)
          .setNextState(next)
          .setMessage("told by a test");
      send(LeaseResponse.newBuilder().setSettled(settled));
    }

    /** Lists the outcomes of a job that have come so far. */
    List<SettleItem> outcomes(LeasedJob job) {
      return frames.stream().flatMap(frame -> outcomes(frame, job).stream()).toList();
    }

    private static List<SettleItem> outcomes(LeaseRequest frame, LeasedJob job) {
      List<SettleItem> items = new ArrayList<>();
      frame.getSettle().getItemsList().stream()
          .filter(item -> item.getJobId().equals(job.getJobId()))
          .forEach(items::add);
      frame.getSettle().getCompletedList().stream()
          .filter(group -> group.getJobIdsList().contains(job.getJobId()))
          .forEach(
              group -> {
                SettleItem.Builder item =
                    SettleItem.newBuilder().setJobId(job.getJobId()).setAttempt(group.getAttempt());
                item.getCompleteBuilder();
                items.add(item.build());
              });
      return items;
    }

    void fail() {
      answers.onError(new StatusRuntimeException(Status.UNAVAILABLE));
    }

    void refuse(Status.Code code, String reason) {
      com.google.rpc.ErrorInfo info =
          com.google.rpc.ErrorInfo.newBuilder()
              .setReason(reason)
              .setDomain("protojobs.dev")
              .build();
      com.google.rpc.Status status =
          com.google.rpc.Status.newBuilder()
              .setCode(code.value())
              .setMessage("refused")
              .addDetails(com.google.protobuf.Any.pack(info))
              .build();
      answers.onError(io.grpc.protobuf.StatusProto.toStatusRuntimeException(status));
    }

    void end() {
      answers.onCompleted();
    }
  }
}
