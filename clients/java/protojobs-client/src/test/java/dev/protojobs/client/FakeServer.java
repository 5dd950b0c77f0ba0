package dev.protojobs.client;

import com.google.protobuf.Any;
import com.google.protobuf.Message;
import com.google.rpc.ErrorInfo;
import dev.protojobs.v1.DispatchBatchRequest;
import dev.protojobs.v1.DispatchBatchResponse;
import dev.protojobs.v1.DispatchOutcome;
import dev.protojobs.v1.DispatchRequest;
import dev.protojobs.v1.DispatchResponse;
import dev.protojobs.v1.DispatchResult;
import dev.protojobs.v1.DispatchStreamRequest;
import dev.protojobs.v1.DispatchStreamResponse;
import dev.protojobs.v1.JobServiceGrpc;
import dev.protojobs.v1.JobSpec;
import dev.protojobs.v1.WatchJobsRequest;
import dev.protojobs.v1.WatchJobsResponse;
import io.grpc.ClientInterceptor;
import io.grpc.Server;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.inprocess.InProcessChannelBuilder;
import io.grpc.inprocess.InProcessServerBuilder;
import io.grpc.protobuf.StatusProto;
import io.grpc.stub.ServerCallStreamObserver;
import io.grpc.stub.StreamObserver;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.List;
import java.util.Queue;
import java.util.UUID;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;

/**
 * A server without a will of its own, within the process: it stores what it gets, and refuses what
 * a test says.
 */
final class FakeServer extends JobServiceGrpc.JobServiceImplBase implements AutoCloseable {
  static final ConnectionOptions OPTIONS =
      ConnectionOptions.builder().callTimeout(Duration.ofSeconds(20)).build();

  final List<JobSpec> specs = new CopyOnWriteArrayList<>();
  final BlockingQueue<Watcher> watchers = new LinkedBlockingQueue<>();
  volatile CountDownLatch mayAnswer = new CountDownLatch(0);
  private final Queue<StatusRuntimeException> refusals = new ArrayDeque<>();
  private final String name = UUID.randomUUID().toString();
  private final Server server;

  /** One stream of events. */
  record Watcher(
      WatchJobsRequest request, StreamObserver<WatchJobsResponse> answers, Semaphore left) {}

  FakeServer() {
    try {
      server = InProcessServerBuilder.forName(name).addService(this).build().start();
    } catch (IOException error) {
      throw new UncheckedIOException(error);
    }
  }

  Client client() {
    return Client.builder().connection(connection()).build();
  }

  Connection connection() {
    return connection(OPTIONS);
  }

  Connection connection(ConnectionOptions options, ClientInterceptor... interceptors) {
    return Connection.over(
        options, InProcessChannelBuilder.forName(name).intercept(interceptors).build());
  }

  /** Refuses the next calls or frames, one each. */
  synchronized void refuse(StatusRuntimeException... errors) {
    refusals.addAll(List.of(errors));
  }

  static StatusRuntimeException refusal(Status.Code code, String reason, Message... details) {
    com.google.rpc.Status.Builder status =
        com.google.rpc.Status.newBuilder().setCode(code.value()).setMessage("refused");
    status.addDetails(
        Any.pack(ErrorInfo.newBuilder().setReason(reason).setDomain("protojobs.dev").build()));
    for (Message detail : details) {
      status.addDetails(Any.pack(detail));
    }
    return StatusProto.toStatusRuntimeException(status.build());
  }

  private synchronized StatusRuntimeException take(List<JobSpec> taken) {
    specs.addAll(taken);
    return refusals.poll();
  }

  @Override
  public void dispatch(DispatchRequest request, StreamObserver<DispatchResponse> answer) {
    StatusRuntimeException refusal = take(List.of(request.getSpec()));
    if (refusal != null) {
      answer.onError(refusal);
      return;
    }
    answer.onNext(
        DispatchResponse.newBuilder()
            .setJobId(request.getSpec().getId())
            .setOutcome(DispatchOutcome.DISPATCH_OUTCOME_CREATED)
            .build());
    answer.onCompleted();
  }

  @Override
  public void dispatchBatch(
      DispatchBatchRequest request, StreamObserver<DispatchBatchResponse> answer) {
    StatusRuntimeException refusal = take(request.getSpecsList());
    if (refusal != null) {
      answer.onError(refusal);
      return;
    }
    DispatchBatchResponse.Builder response = DispatchBatchResponse.newBuilder();
    request.getSpecsList().forEach(spec -> response.addResults(verdict(spec)));
    answer.onNext(response.build());
    answer.onCompleted();
  }

  /** Jobs of kind "refused" are refused, each for itself. */
  private static DispatchResult verdict(JobSpec spec) {
    DispatchResult.Builder result = DispatchResult.newBuilder().setJobId(spec.getId());
    if (spec.getKind().equals("refused")) {
      return result
          .setError(StatusProto.fromThrowable(refusal(Status.Code.ALREADY_EXISTS, "DUPLICATE_JOB")))
          .build();
    }
    return result.setOutcome(DispatchOutcome.DISPATCH_OUTCOME_CREATED).build();
  }

  @Override
  public StreamObserver<DispatchStreamRequest> dispatchStream(
      StreamObserver<DispatchStreamResponse> answers) {
    answers.onNext(DispatchStreamResponse.newBuilder().setWindow(1000).build());
    return new StreamObserver<>() {
      @Override
      public void onNext(DispatchStreamRequest frame) {
        StatusRuntimeException refusal = take(frame.getSpecsList());
        if (refusal != null) {
          answers.onError(refusal);
          return;
        }
        DispatchStreamResponse.Builder answer =
            DispatchStreamResponse.newBuilder().setUpToSeq(frame.getSeq()).setWindow(1000);
        for (int index = 0; index < frame.getSpecsCount(); index++) {
          if (frame.getSpecs(index).getKind().equals("refused")) {
            answer
                .addResultsBuilder()
                .setSeq(frame.getSeq())
                .setIndex(index)
                .setResult(verdict(frame.getSpecs(index)));
          }
        }
        try {
          mayAnswer.await();
        } catch (InterruptedException error) {
          Thread.currentThread().interrupt();
        }
        answers.onNext(answer.build());
      }

      @Override
      public void onError(Throwable error) {
        // The client has left.
      }

      @Override
      public void onCompleted() {
        answers.onCompleted();
      }
    };
  }

  @Override
  public void watchJobs(WatchJobsRequest request, StreamObserver<WatchJobsResponse> answers) {
    Semaphore left = new Semaphore(0);
    ((ServerCallStreamObserver<WatchJobsResponse>) answers).setOnCancelHandler(left::release);
    watchers.add(new Watcher(request, answers, left));
  }

  Watcher watcher() throws InterruptedException {
    Watcher watcher = watchers.poll(20, TimeUnit.SECONDS);
    if (watcher == null) {
      throw new AssertionError("nobody watches");
    }
    return watcher;
  }

  @Override
  public void close() {
    server.shutdownNow();
  }
}
