package dev.protojobs.worker;

import dev.protojobs.client.Client;
import dev.protojobs.client.Connection;
import dev.protojobs.client.ProtoJobsException;
import dev.protojobs.v1.QueueStats;
import dev.protojobs.worker.Holding.Phase;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.FileTime;
import java.time.Duration;
import java.time.Instant;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * The rules by which a worker ends by itself, and the file that tells that it is well. On a thread
 * of its own.
 */
final class Rules implements AutoCloseable {
  private static final Logger LOG = LoggerFactory.getLogger(Rules.class);
  private static final Path STATUS = Path.of("/proc/self/status");
  private static final Pattern RESIDENT = Pattern.compile("VmRSS:\\s+(\\d+) kB");
  private static final long LOOK_MILLIS = 250;
  private static final long PATIENCE_SECONDS = 10;
  private static final long QUIET_NANOS = Duration.ofSeconds(1).toNanos();

  private final WorkerOptions options;
  private final Session session;
  private final Client client;
  private final long beganAt = System.nanoTime();
  private final ScheduledExecutorService timer =
      Executors.newSingleThreadScheduledExecutor(
          task -> {
            Thread thread = new Thread(task, "protojobs-rules");
            thread.setDaemon(true);
            return thread;
          });

  Rules(WorkerOptions options, Session session, Connection connection) {
    this.options = options;
    this.session = session;
    client = Client.builder().connection(connection).build();
  }

  void start() {
    timer.scheduleWithFixedDelay(this::look, 0, LOOK_MILLIS, TimeUnit.MILLISECONDS);
  }

  private void look() {
    try {
      Session.State state = session.look().get(PATIENCE_SECONDS, TimeUnit.SECONDS);
      show(state.healthy());
      if (state.phase() != Phase.LEAVING) {
        apply(state);
      }
    } catch (TimeoutException | ExecutionException unanswered) {
      show(false);
    } catch (InterruptedException closing) {
      Thread.currentThread().interrupt();
    } catch (RuntimeException error) {
      LOG.error("the rules of this worker failed", error);
    }
  }

  private void apply(Session.State state) {
    if (options.maxLifetime() != null
        && System.nanoTime() - beganAt >= options.maxLifetime().toNanos()) {
      session.leave(ExitReason.MAX_LIFETIME);
    }
    if (options.maxMemory() != null && memoryBytes() > options.maxMemory()) {
      LOG.warn("the process has grown past {} bytes", options.maxMemory());
      session.leave(ExitReason.MAX_MEMORY);
    }
    boolean quiet = state.connected() && state.idle() && state.idleNanos() >= QUIET_NANOS;
    if (options.untilEmpty() && quiet) {
      // Whatever the server counts: jobs that nobody here can run must not keep this worker.
      if (state.idleNanos() >= options.emptyGrace().toNanos() || nothingWaits()) {
        session.leave(ExitReason.EMPTY);
      }
    }
  }

  private boolean nothingWaits() {
    try {
      return client.queues().stats().getQueuesList().stream()
          .filter(queue -> options.queues().containsKey(queue.getQueue()))
          .mapToLong((QueueStats queue) -> queue.getCounts().getPending())
          .allMatch(pending -> pending == 0);
    } catch (ProtoJobsException untold) {
      return false; // the idle grace decides
    }
  }

  /**
   * Measures what this process holds in memory; where the system does not tell, what the heap has.
   */
  private static long memoryBytes() {
    try {
      Matcher resident = RESIDENT.matcher(Files.readString(STATUS));
      if (resident.find()) {
        return Long.parseLong(resident.group(1)) * 1024;
      }
    } catch (IOException absent) {
      LOG.debug("the system does not tell how large this process is");
    }
    return Runtime.getRuntime().totalMemory();
  }

  /** Touches the file, or removes it. */
  private void show(boolean healthy) {
    Path file = options.healthFile();
    if (file == null) {
      return;
    }
    try {
      if (!healthy) {
        Files.deleteIfExists(file);
      } else if (Files.exists(file)) {
        Files.setLastModifiedTime(file, FileTime.from(Instant.now()));
      } else {
        Files.createFile(file);
      }
    } catch (IOException error) {
      LOG.error("the health file cannot be written: {}", error.toString());
    }
  }

  /** Ends the timer and removes the file: the worker is gone. */
  @Override
  public void close() {
    timer.shutdownNow();
    try {
      timer.awaitTermination(PATIENCE_SECONDS, TimeUnit.SECONDS);
    } catch (InterruptedException error) {
      Thread.currentThread().interrupt();
    }
    show(false);
  }
}
