package dev.protojobs.client;

import static dev.protojobs.client.FakeServer.refusal;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.rpc.BadRequest;
import com.google.rpc.ErrorInfo;
import com.google.rpc.RetryInfo;
import dev.protojobs.v1.DispatchOutcome;
import dev.protojobs.v1.JobSpec;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.protobuf.StatusProto;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.ObjectInputStream;
import java.io.ObjectOutputStream;
import java.time.Duration;
import java.time.Instant;
import java.util.List;
import java.util.UUID;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ForkJoinWorkerThread;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

class DispatchTest {
  private final FakeServer server = new FakeServer();
  private final Client client = server.client();

  @AfterEach
  void close() {
    client.close();
    server.close();
  }

  private List<String> ids() {
    return server.specs.stream().map(JobSpec::getId).toList();
  }

  @Test
  void anAnswerOfTheStreamMakesNoThreadOfItsOwn() {
    server.mayAnswer = new CountDownLatch(1);
    CompletableFuture<Thread> heardOn =
        client
            .dispatchAsync(JobRequest.of("echo", null))
            .thenApply(dispatched -> Thread.currentThread());

    server.mayAnswer.countDown();

    assertInstanceOf(ForkJoinWorkerThread.class, heardOn.join());
  }

  @Test
  void aDispatchThatNoServerTakesIsRepeatedUnderItsId() {
    server.refuse(
        refusal(Status.Code.UNAVAILABLE, "DRAINING"),
        new StatusRuntimeException(Status.UNAVAILABLE));

    Dispatched dispatched = client.dispatch("echo", "hello");

    String id = dispatched.jobId();
    assertEquals(List.of(id, id, id), ids());
    assertEquals(7, UUID.fromString(id).version());
    assertEquals("\"hello\"", server.specs.get(0).getPayload().toStringUtf8());
  }

  @Test
  void aServerThatNamesAWaitIsAskedAgain() {
    RetryInfo wait =
        RetryInfo.newBuilder().setRetryDelay(Times.write(Duration.ofMillis(1))).build();
    server.refuse(refusal(Status.Code.RESOURCE_EXHAUSTED, "OVERLOADED", wait));

    client.dispatch("echo", null);

    assertEquals(2, server.specs.size());
  }

  @Test
  void anErrorThatNoRetryCanHelpIsToldAtOnce() {
    server.refuse(refusal(Status.Code.RESOURCE_EXHAUSTED, "QUOTA_EXCEEDED"));

    ProtoJobsException error =
        assertThrows(ResourceExhaustedException.class, () -> client.dispatch("echo", null));

    assertEquals("QUOTA_EXCEEDED", error.reason());
    assertEquals(1, server.specs.size());
  }

  @Test
  void aFieldThatIsWrongIsToldByItsPath() {
    BadRequest wrong =
        BadRequest.newBuilder()
            .addFieldViolations(
                BadRequest.FieldViolation.newBuilder()
                    .setField("spec.kind")
                    .setDescription("too long"))
            .build();
    server.refuse(refusal(Status.Code.INVALID_ARGUMENT, "INVALID_FIELD", wrong));

    ProtoJobsException error =
        assertThrows(InvalidArgumentException.class, () -> client.dispatch("echo", null));

    assertEquals(List.of(new FieldViolation("spec.kind", "too long")), error.violations());
  }

  @Test
  void anotherIdIsMadeInTheTimeOfAServerWhoseClockDiffers() {
    Instant ahead = Instant.parse("2040-01-01T00:00:00Z");
    com.google.rpc.Status refused =
        com.google.rpc.Status.newBuilder()
            .setCode(Status.Code.INVALID_ARGUMENT.value())
            .addDetails(
                com.google.protobuf.Any.pack(
                    ErrorInfo.newBuilder()
                        .setReason("JOB_ID_TIME")
                        .setDomain("protojobs.dev")
                        .putMetadata("server_time", ahead.toString())
                        .build()))
            .build();
    server.refuse(StatusProto.toStatusRuntimeException(refused));

    Dispatched dispatched = client.dispatch("echo", null);

    long millis = UUID.fromString(dispatched.jobId()).getMostSignificantBits() >>> 16;
    assertNotEquals(ids().get(0), dispatched.jobId());
    assertTrue(millis >= ahead.toEpochMilli());
  }

  @Test
  void anIdOfTheCallersIsKept() {
    String id = "01990000-0000-7000-8000-000000000001";

    client.dispatch(JobRequest.builder("echo").id(id).build());

    assertEquals(List.of(id), ids());
  }

  @Test
  void eachJobOfABatchHasItsOwnVerdict() {
    List<DispatchResult> results =
        client.dispatchAll(
            List.of(
                JobRequest.of("echo", 1), JobRequest.of("refused", 2), JobRequest.of("echo", 3)));

    assertInstanceOf(DispatchResult.Stored.class, results.get(0));
    DispatchResult.Refused refused = assertInstanceOf(DispatchResult.Refused.class, results.get(1));
    assertInstanceOf(DispatchResult.Stored.class, results.get(2));
    assertEquals("DUPLICATE_JOB", refused.error().reason());
    assertEquals(ids(), results.stream().map(DispatchResult::jobId).toList());
  }

  @Test
  void manyJobsAreSplitIntoBatches() {
    List<DispatchResult> results =
        client.dispatchAll(
            IntStream.range(0, 2_500).mapToObj(number -> JobRequest.of("echo", number)).toList());

    assertEquals(ids(), results.stream().map(DispatchResult::jobId).toList());
    assertEquals("2499", server.specs.get(2_499).getPayload().toStringUtf8());
  }

  @Test
  void aJobThatFitsIntoNoMessageIsRefusedBeforeItIsSent() {
    JobRequest request = JobRequest.of("echo", "x".repeat(5 * 1024 * 1024));

    ProtoJobsException error =
        assertThrows(FailedPreconditionException.class, () -> client.dispatchAll(List.of(request)));

    assertEquals("PAYLOAD_TOO_LARGE", error.reason());
    assertTrue(server.specs.isEmpty());
  }

  @Test
  void jobsThatAreDispatchedTogetherShareAStreamAndGetTheirOwnAnswers() {
    List<CompletableFuture<Dispatched>> answers =
        IntStream.range(0, 3_000)
            .mapToObj(number -> client.dispatchAsync(JobRequest.of("echo", number)))
            .toList();
    CompletableFuture<Dispatched> refused = client.dispatchAsync(JobRequest.of("refused", 0));

    List<String> stored = answers.stream().map(answer -> answer.join().jobId()).toList();

    assertEquals(stored, ids().subList(0, 3_000));
    CompletionException error = assertThrows(CompletionException.class, refused::join);
    assertInstanceOf(AlreadyExistsException.class, error.getCause());
  }

  @Test
  void whatALostStreamDidNotAcknowledgeIsSentAgainUnderTheSameId() {
    server.refuse(refusal(Status.Code.UNAVAILABLE, "STORE_UNAVAILABLE"));

    Dispatched dispatched = client.dispatchAsync(JobRequest.of("echo", 1)).join();

    assertEquals(List.of(dispatched.jobId(), dispatched.jobId()), ids());
    assertEquals(DispatchOutcome.DISPATCH_OUTCOME_CREATED, dispatched.outcome());
  }

  @Test
  void aStreamThatIsRefusedForGoodLetsEachJobHaveItsOwnVerdict() {
    server.refuse(refusal(Status.Code.INVALID_ARGUMENT, "INVALID_FIELD"));

    Dispatched dispatched = client.dispatchAsync(JobRequest.of("echo", 1)).join();

    assertEquals(List.of(dispatched.jobId(), dispatched.jobId()), ids());
  }

  @Test
  void aClosedClientRefusesJobsInsteadOfKeepingThem() {
    client.dispatchAsync(JobRequest.of("echo", 1)).join();
    client.close();

    assertThrows(ProtoJobsException.class, () -> client.dispatch("echo", 2));
  }

  @Test
  void whoeverWaitsForOneAnswerWithinAnotherIsNotHeldUp() {
    String second =
        client
            .dispatchAsync(JobRequest.of("echo", 1))
            .thenApply(first -> client.dispatchAsync(JobRequest.of("echo", 2)).join().jobId())
            .join();

    assertEquals(second, ids().get(1));
  }

  @Test
  void aClosedClientRefusesJobsOfStreamsToo() {
    client.close();

    assertThrows(ProtoJobsException.class, () -> client.dispatchAsync(JobRequest.of("echo", 1)));
  }

  @Test
  void anErrorKeepsItsReasonWhenItIsSerialized() throws IOException, ClassNotFoundException {
    server.refuse(refusal(Status.Code.ALREADY_EXISTS, "DUPLICATE_JOB"));
    ProtoJobsException error =
        assertThrows(AlreadyExistsException.class, () -> client.dispatch("echo", null));
    // What gRPC has thrown is its own affair.
    ByteArrayOutputStream bytes = new ByteArrayOutputStream();
    try (ObjectOutputStream out = new ObjectOutputStream(bytes)) {
      out.writeObject(Statuses.fromStatus(StatusProto.fromThrowable(error.getCause())));
    }

    try (ObjectInputStream in =
        new ObjectInputStream(new ByteArrayInputStream(bytes.toByteArray()))) {
      ProtoJobsException read = (ProtoJobsException) in.readObject();
      assertEquals("DUPLICATE_JOB", read.reason());
      assertEquals(Status.Code.ALREADY_EXISTS, read.code());
    }
  }
}
