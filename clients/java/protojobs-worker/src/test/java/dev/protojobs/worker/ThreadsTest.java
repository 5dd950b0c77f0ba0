package dev.protojobs.worker;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.List;
import java.util.concurrent.AbstractExecutorService;
import java.util.concurrent.CyclicBarrier;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.Test;

class ThreadsTest {
  /** Threads that begin when the test says so. */
  private static final class Asleep extends AbstractExecutorService {
    final Deque<Runnable> woken = new ArrayDeque<>();
    boolean refuses;

    @Override
    public void execute(Runnable work) {
      if (refuses) {
        throw new RejectedExecutionException();
      }
      woken.add(work);
    }

    @Override
    public void shutdown() {
      refuses = true;
    }

    @Override
    public List<Runnable> shutdownNow() {
      throw new UnsupportedOperationException();
    }

    @Override
    public boolean isShutdown() {
      return refuses;
    }

    @Override
    public boolean isTerminated() {
      return refuses;
    }

    @Override
    public boolean awaitTermination(long timeout, TimeUnit unit) {
      return true;
    }
  }

  private final Asleep pool = new Asleep();
  private final Threads threads = new Threads(pool);
  private final List<Integer> ran = new ArrayList<>();

  @Test
  void oneThreadIsWokenForManyTasksAndRunsThemInOrder() {
    for (int number = 0; number < 5; number++) {
      int task = number;
      threads.execute(() -> ran.add(task));
    }
    assertEquals(1, pool.woken.size());

    pool.woken.remove().run();

    assertEquals(List.of(0, 1, 2, 3, 4), ran);
    assertEquals(1, pool.woken.size(), "the next one was woken once");
  }

  @Test
  void aThreadWakesTheNextOneBeforeItsTaskRuns() {
    threads.execute(() -> assertEquals(1, pool.woken.size()));
    threads.execute(() -> ran.add(1));

    pool.woken.remove().run();

    assertEquals(List.of(1), ran);
  }

  @Test
  void whatATaskThrowsKeepsNoOtherFromRunning() {
    threads.execute(
        () -> {
          throw new IllegalStateException("of a task");
        });
    threads.execute(() -> ran.add(1));

    assertThrows(IllegalStateException.class, pool.woken.remove()::run);
    pool.woken.remove().run();

    assertEquals(List.of(1), ran);
  }

  @Test
  void aTaskForWhichThereIsNoThreadIsRefusedAndNeverRuns() {
    pool.refuses = true;
    assertThrows(RejectedExecutionException.class, () -> threads.execute(() -> ran.add(0)));
    pool.refuses = false;

    threads.execute(() -> ran.add(1));
    pool.woken.remove().run();

    assertEquals(List.of(1), ran);
  }

  @Test
  void aTaskForWhichNoFurtherThreadIsToBeHadRunsAfterAnother() {
    threads.execute(() -> ran.add(0));
    threads.execute(() -> ran.add(1));
    pool.refuses = true;

    pool.woken.remove().run();

    assertEquals(List.of(0, 1), ran);
  }

  @Test
  void tasksThatWaitForEachOtherHaveAThreadEach() throws Exception {
    int count = 50;
    ExecutorService real = Executors.newFixedThreadPool(count);
    try {
      Threads all = new Threads(real);
      CyclicBarrier together = new CyclicBarrier(count + 1);
      AtomicInteger passed = new AtomicInteger();
      for (int number = 0; number < count; number++) {
        all.execute(
            () -> {
              try {
                together.await(10, TimeUnit.SECONDS);
                passed.incrementAndGet();
              } catch (Exception error) {
                throw new IllegalStateException(error);
              }
            });
      }

      together.await(10, TimeUnit.SECONDS);

      all.shutdown();
      assertTrue(real.awaitTermination(10, TimeUnit.SECONDS));
      assertEquals(count, passed.get());
    } finally {
      real.shutdownNow();
    }
  }
}
