package dev.protojobs.client;

import com.google.protobuf.FieldMask;
import dev.protojobs.v1.ClearQueueRequest;
import dev.protojobs.v1.ClearQueueResponse;
import dev.protojobs.v1.DeleteQueueRequest;
import dev.protojobs.v1.GetQueueRequest;
import dev.protojobs.v1.JobState;
import dev.protojobs.v1.ListQueuesRequest;
import dev.protojobs.v1.ListQueuesResponse;
import dev.protojobs.v1.PauseQueueRequest;
import dev.protojobs.v1.Queue;
import dev.protojobs.v1.QueueServiceGrpc;
import dev.protojobs.v1.QueueStats;
import dev.protojobs.v1.ResumeQueueRequest;
import dev.protojobs.v1.StatsRequest;
import dev.protojobs.v1.StatsResponse;
import dev.protojobs.v1.UpdateQueueRequest;
import java.util.List;
import java.util.stream.Stream;

/** Queues: their settings, pause, clearing and numbers. */
public final class Queues {
  private final Connection connection;

  Queues(Connection connection) {
    this.connection = connection;
  }

  /** {@return the queues by name} */
  public Stream<Queue> list() {
    return Pages.stream(
        token -> {
          ListQueuesRequest page =
              ListQueuesRequest.newBuilder().setPageSize(100).setPageToken(token).build();
          ListQueuesResponse answer = connection.call(QueueServiceGrpc.getListQueuesMethod(), page);
          return new Pages.Page<>(answer.getQueuesList(), answer.getNextPageToken());
        });
  }

  /**
   * Returns a queue.
   *
   * @param queue its name
   * @throws NotFoundException if it was never used
   */
  public Queue get(String queue) {
    return connection
        .call(
            QueueServiceGrpc.getGetQueueMethod(),
            GetQueueRequest.newBuilder().setQueue(queue).build())
        .getQueue();
  }

  /**
   * Changes settings, makes the queue if it is new, and returns it. Idempotent.
   *
   * @param queue its name and new values
   * @param fields which of them to change; one that is unset goes back to its default. None: all
   *     that are set
   */
  public Queue update(Queue queue, String... fields) {
    UpdateQueueRequest request =
        UpdateQueueRequest.newBuilder()
            .setQueue(queue)
            .setUpdateMask(FieldMask.newBuilder().addAllPaths(List.of(fields)))
            .build();
    return connection.call(QueueServiceGrpc.getUpdateQueueMethod(), request).getQueue();
  }

  /**
   * Removes a queue. Idempotent.
   *
   * @param queue its name
   * @param force its waiting and final jobs too
   * @throws FailedPreconditionException if it has jobs: QUEUE_NOT_EMPTY, JOB_RUNNING
   */
  public void delete(String queue, boolean force) {
    connection.call(
        QueueServiceGrpc.getDeleteQueueMethod(),
        DeleteQueueRequest.newBuilder().setQueue(queue).setForce(force).build());
  }

  /**
   * Stops leasing from a queue; running jobs go on. Idempotent.
   *
   * @param queue its name
   */
  public void pause(String queue) {
    connection.call(
        QueueServiceGrpc.getPauseQueueMethod(),
        PauseQueueRequest.newBuilder().setQueue(queue).build());
  }

  /**
   * Leases from a queue again. Idempotent.
   *
   * @param queue its name
   */
  public void resume(String queue) {
    connection.call(
        QueueServiceGrpc.getResumeQueueMethod(),
        ResumeQueueRequest.newBuilder().setQueue(queue).build());
  }

  /**
   * Deletes jobs of a queue and returns how many.
   *
   * @param queue its name
   * @param states which of its jobs; none: scheduled, pending and retrying ones
   */
  public long clear(String queue, JobState... states) {
    long deleted = 0;
    String token = "";
    do {
      ClearQueueRequest step =
          ClearQueueRequest.newBuilder()
              .setQueue(queue)
              .addAllStates(List.of(states))
              .setContinuationToken(token)
              .build();
      ClearQueueResponse answer = connection.call(QueueServiceGrpc.getClearQueueMethod(), step);
      deleted += answer.getDeleted();
      token = answer.getContinuationToken();
    } while (!token.isEmpty());
    return deleted;
  }

  /**
   * Returns the numbers of one queue.
   *
   * @param queue its name
   * @throws NotFoundException if it was never used
   */
  public QueueStats stats(String queue) {
    StatsRequest request = StatsRequest.newBuilder().setQueue(queue).build();
    return connection.call(QueueServiceGrpc.getStatsMethod(), request).getQueues(0);
  }

  /** {@return the numbers of all queues, of one moment} */
  public StatsResponse stats() {
    return connection.call(QueueServiceGrpc.getStatsMethod(), StatsRequest.getDefaultInstance());
  }
}
