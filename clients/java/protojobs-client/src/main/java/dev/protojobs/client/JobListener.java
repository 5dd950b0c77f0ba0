package dev.protojobs.client;

import com.google.protobuf.ByteString;
import dev.protojobs.v1.JobEvent;
import java.util.function.Consumer;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/** Calls back for events of one type, on a thread of its own, until it is closed. */
public final class JobListener implements AutoCloseable {
  private static final Logger LOG = LoggerFactory.getLogger(JobListener.class);

  private final JobEvents events;
  private final String type;
  private final Consumer<JobEvent> callback;
  private final Thread thread;
  private volatile ByteString cursor;
  private volatile ProtoJobsException error;

  JobListener(JobEvents events, String type, Consumer<JobEvent> callback) {
    this.events = events;
    this.type = type;
    this.callback = callback;
    cursor = events.cursor();
    thread = new Thread(this::run, "protojobs-" + type);
    thread.setDaemon(true);
    thread.start();
  }

  /**
   * {@return the place behind the last event that the callback is done with: keep it to go on there
   * later}
   */
  public ByteString cursor() {
    return cursor;
  }

  /** Tells whether it has not ended, by {@link #close} or an error. */
  public boolean isRunning() {
    return thread.isAlive();
  }

  private void run() {
    try {
      while (events.hasNext()) {
        JobEvent event = events.next();
        if (event.getType().equals(type)) {
          tell(event);
        }
        cursor = event.getCursor();
      }
    } catch (ProtoJobsException ended) {
      error = ended;
      LOG.error("listener of {} ended: {}", type, ended.getMessage());
    }
  }

  private void tell(JobEvent event) {
    try {
      callback.accept(event);
    } catch (RuntimeException failed) {
      LOG.error("listener of {} failed for job {}", type, event.getJob().getId(), failed);
    }
  }

  /**
   * Ends it, after the callback that is under way. May be repeated.
   *
   * @throws ProtoJobsException what had ended it before
   */
  @Override
  public void close() {
    events.close();
    if (Thread.currentThread() == thread) {
      return;
    }
    try {
      thread.join();
    } catch (InterruptedException interrupted) {
      Thread.currentThread().interrupt();
    }
    ProtoJobsException told = error;
    error = null;
    if (told != null) {
      throw told;
    }
  }
}
