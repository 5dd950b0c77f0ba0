package dev.protojobs.client;

import com.google.protobuf.ByteString;
import dev.protojobs.client.PayloadContext.Use;
import dev.protojobs.v1.Attempt;
import dev.protojobs.v1.BulkJobsRequest;
import dev.protojobs.v1.BulkJobsResponse;
import dev.protojobs.v1.CancelRequest;
import dev.protojobs.v1.DeleteJobRequest;
import dev.protojobs.v1.GetJobRequest;
import dev.protojobs.v1.Job;
import dev.protojobs.v1.JobFilter;
import dev.protojobs.v1.JobServiceGrpc;
import dev.protojobs.v1.JobState;
import dev.protojobs.v1.JobView;
import dev.protojobs.v1.ListAttemptsRequest;
import dev.protojobs.v1.ListAttemptsResponse;
import dev.protojobs.v1.ListJobsRequest;
import dev.protojobs.v1.ListJobsResponse;
import dev.protojobs.v1.RetryRequest;
import dev.protojobs.v1.RetryResponse;
import dev.protojobs.v1.UpdateJobRequest;
import dev.protojobs.v1.WaitJobRequest;
import dev.protojobs.v1.WaitJobResponse;
import java.lang.reflect.Type;
import java.time.Duration;
import java.util.function.Consumer;
import java.util.stream.Stream;

/**
 * Jobs that are stored: read them, wait for them, act on them, watch them. Unless said otherwise:
 * throws {@link NotFoundException} for an id that no job has.
 */
public final class Jobs {
  private static final Duration LONG_POLL = Duration.ofSeconds(20);
  private static final Duration LONG_POLL_SLACK = Duration.ofSeconds(5);

  private final Connection connection;
  private final PayloadCodec codec;
  private final DataMapper mapper;

  Jobs(Connection connection, PayloadCodec codec, DataMapper mapper) {
    this.connection = connection;
    this.codec = codec;
    this.mapper = mapper;
  }

  /**
   * Returns a job without payload, headers, result and stack.
   *
   * @param jobId id of the job
   */
  public Job get(String jobId) {
    return get(jobId, JobView.JOB_VIEW_BASIC);
  }

  /**
   * Returns a job.
   *
   * @param jobId id of the job
   * @param view how much of it
   */
  public Job get(String jobId, JobView view) {
    GetJobRequest request = GetJobRequest.newBuilder().setJobId(jobId).setView(view).build();
    return connection.call(JobServiceGrpc.getGetJobMethod(), request).getJob();
  }

  /**
   * Returns jobs by a filter, newest first. Pages are fetched as the stream is read.
   *
   * @param filter every field that is set must hold
   */
  public Stream<Job> list(JobFilter filter) {
    return list(ListJobsRequest.newBuilder().setFilter(filter).setPageSize(100).build());
  }

  /**
   * Returns jobs as a request of the contract says. Pages are fetched as the stream is read.
   *
   * @param request filter, expression, order, view and page size
   */
  public Stream<Job> list(ListJobsRequest request) {
    return Pages.stream(
        token -> {
          ListJobsRequest page = request.toBuilder().setPageToken(token).build();
          ListJobsResponse answer = connection.call(JobServiceGrpc.getListJobsMethod(), page);
          return new Pages.Page<>(answer.getJobsList(), answer.getNextPageToken());
        });
  }

  /**
   * Returns the jobs of a queue that failed for good, newest first.
   *
   * @param queue name of the queue
   */
  public Stream<Job> failed(String queue) {
    return list(
        JobFilter.newBuilder().addQueues(queue).addStates(JobState.JOB_STATE_FAILED).build());
  }

  /**
   * Returns the attempts of a job, oldest first.
   *
   * @param jobId id of the job
   */
  public Stream<Attempt> attempts(String jobId) {
    return Pages.stream(
        token -> {
          ListAttemptsRequest page =
              ListAttemptsRequest.newBuilder()
                  .setJobId(jobId)
                  .setPageSize(100)
                  .setPageToken(token)
                  .build();
          ListAttemptsResponse answer =
              connection.call(JobServiceGrpc.getListAttemptsMethod(), page);
          return new Pages.Page<>(answer.getAttemptsList(), answer.getNextPageToken());
        });
  }

  /**
   * Waits until a job is final and returns it, in view FULL.
   *
   * @param jobId id of the job
   * @param timeout longest wait
   * @throws WaitTimeoutException if it is not final by then
   */
  public Job await(String jobId, Duration timeout) {
    long end = System.nanoTime() + timeout.toNanos();
    while (true) {
      Duration left = Duration.ofNanos(Math.max(0, end - System.nanoTime()));
      Duration wait = left.compareTo(LONG_POLL) < 0 ? left : LONG_POLL;
      WaitJobRequest request =
          WaitJobRequest.newBuilder().setJobId(jobId).setWait(Times.write(wait)).build();
      WaitJobResponse answer =
          connection.call(JobServiceGrpc.getWaitJobMethod(), request, wait.plus(LONG_POLL_SLACK));
      if (answer.getDone()) {
        return answer.getJob();
      }
      if (System.nanoTime() >= end) {
        throw new WaitTimeoutException("job " + jobId + " is not final yet");
      }
    }
  }

  /**
   * Waits until a job is final and returns its result.
   *
   * @param <T> type of the result
   * @param jobId id of the job
   * @param type what to build of its JSON
   * @param timeout longest wait
   * @return the result; null where the handler has returned none
   * @throws JobEndedException if it ended otherwise than completed
   * @throws WaitTimeoutException if it is not final by then
   */
  public <T> T result(String jobId, Class<T> type, Duration timeout) {
    ByteString bytes = resultBytes(await(jobId, timeout));
    return bytes.isEmpty() ? null : type.cast(mapper.read(bytes, (Type) type));
  }

  /**
   * Returns the result of a completed job, decoded by the codec of this client.
   *
   * @param job in view FULL
   * @throws JobEndedException if it ended otherwise
   */
  public ByteString resultBytes(Job job) {
    if (job.getState() != JobState.JOB_STATE_COMPLETED) {
      throw new JobEndedException(job);
    }
    return codec.open(Payload.of(job.getResult()), context(job, Use.RESULT)).data();
  }

  /**
   * Returns the payload of a job, decoded by the codec of this client.
   *
   * @param job in view FULL
   * @throws UndecodableException if the codec cannot read it
   */
  public Payload payload(Job job) {
    Payload stored = new Payload(job.getSpec().getPayload(), job.getSpec().getContentType());
    return codec.open(stored, context(job, Use.PAYLOAD));
  }

  /**
   * Cancels a job: at once while it waits, by its worker while it runs; RUNNING means the worker
   * was asked, and has 30 s. Idempotent.
   *
   * @param jobId id of the job
   * @throws FailedPreconditionException if it ended otherwise before: JOB_FINAL
   */
  public JobState cancel(String jobId) {
    return cancel(CancelRequest.newBuilder().setJobId(jobId).build());
  }

  /**
   * Cancels a job.
   *
   * @param jobId id of the job
   * @param deadline how long a worker may take to end it, 0 s to 1 h
   */
  public JobState cancel(String jobId, Duration deadline) {
    return cancel(
        CancelRequest.newBuilder().setJobId(jobId).setDeadline(Times.write(deadline)).build());
  }

  private JobState cancel(CancelRequest request) {
    return connection.call(JobServiceGrpc.getCancelMethod(), request).getState();
  }

  /**
   * Takes a final job up again under its id, or runs a scheduled or retrying one now. The job is
   * read first, so that a repeated call runs it once.
   *
   * @param jobId id of the job
   * @throws FailedPreconditionException if it is pending or running: JOB_NOT_FINAL
   */
  public RetryResponse retry(String jobId) {
    return retry(
        RetryRequest.newBuilder()
            .setJobId(jobId)
            .setExpectedAttempt(get(jobId).getAttempt())
            .build());
  }

  /**
   * Takes a final job up again with other data.
   *
   * @param jobId id of the job
   * @param data replaces its payload, as JSON
   */
  public RetryResponse retry(String jobId, Object data) {
    Job job = get(jobId);
    Payload payload = codec.encode(Payload.of(mapper.write(data)), context(job, Use.PAYLOAD));
    return retry(
        RetryRequest.newBuilder()
            .setJobId(jobId)
            .setExpectedAttempt(job.getAttempt())
            .setPayload(payload.data())
            .setContentType(payload.contentType())
            .build());
  }

  /**
   * Takes a job up again as a request of the contract says.
   *
   * @param request its expected_attempt makes the call safe to repeat
   */
  public RetryResponse retry(RetryRequest request) {
    return connection.call(JobServiceGrpc.getRetryMethod(), request);
  }

  /**
   * Changes a job that waits, and returns it. A pending one then waits behind all others of its
   * priority.
   *
   * @param request new values and which of them count; a payload is taken as it is
   */
  public Job update(UpdateJobRequest request) {
    return connection.call(JobServiceGrpc.getUpdateJobMethod(), request).getJob();
  }

  /**
   * Removes a job that is not running, with its history; its id stays taken. Idempotent.
   *
   * @param jobId id of the job
   */
  public void delete(String jobId) {
    connection.call(
        JobServiceGrpc.getDeleteJobMethod(), DeleteJobRequest.newBuilder().setJobId(jobId).build());
  }

  /**
   * Acts on many jobs, step by step until all are done.
   *
   * @param request which jobs, and what to do; a continuation token is where it begins
   * @return counts over all steps
   */
  public BulkJobsResponse bulk(BulkJobsRequest request) {
    BulkJobsResponse.Builder whole = BulkJobsResponse.newBuilder();
    String token = request.getContinuationToken();
    do {
      BulkJobsRequest step = request.toBuilder().setContinuationToken(token).build();
      BulkJobsResponse answer = connection.call(JobServiceGrpc.getBulkJobsMethod(), step);
      whole.setChanged(whole.getChanged() + answer.getChanged());
      whole.setSkipped(whole.getSkipped() + answer.getSkipped());
      whole.addAllSampleJobIds(answer.getSampleJobIdsList());
      token = answer.getContinuationToken();
    } while (!token.isEmpty());
    return whole.build();
  }

  /**
   * Watches what happens from now on; returns once the server has answered.
   *
   * @param filter which events; states are those that events lead to
   */
  public JobEvents watch(JobFilter filter) {
    return watch(filter, ByteString.EMPTY);
  }

  /**
   * Watches what happened behind a cursor, and what happens from then on, without a gap.
   *
   * @param filter which events; states are those that events lead to
   * @param cursor where another watch has been, at most 24 h ago; empty for now
   */
  public JobEvents watch(JobFilter filter, ByteString cursor) {
    return new JobEvents(connection, filter, cursor).begin();
  }

  /**
   * Calls back for each event of a type, on a thread of its own, from now on.
   *
   * @param type for example {@code job.failed}
   * @param filter which events
   * @param callback an error of it is logged, and the next event comes
   * @return ends it when it is closed
   */
  public JobListener listen(
      String type, JobFilter filter, Consumer<dev.protojobs.v1.JobEvent> callback) {
    return new JobListener(watch(filter), type, callback);
  }

  private static PayloadContext context(Job job, Use use) {
    return new PayloadContext(job.getSpec().getKind(), job.getSpec().getQueue(), use, job.getId());
  }
}
