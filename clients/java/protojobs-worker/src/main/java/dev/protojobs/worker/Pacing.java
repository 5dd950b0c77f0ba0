package dev.protojobs.worker;

import java.time.Duration;
import java.util.random.RandomGenerator;

/** How much to take and how long to wait: pure arithmetic, random numbers injected. */
final class Pacing {
  private static final long SECOND = Duration.ofSeconds(1).toNanos();

  private Pacing() {}

  /** Returns nanoseconds between two numbers of seconds. */
  private static long uniform(RandomGenerator random, double least, double most) {
    return (long) (random.nextDouble(least, most) * SECOND);
  }

  /**
   * Returns the wait before an outcome goes out again that the server could not store: 0.05-5 s,
   * full jitter.
   */
  static long settleAgain(int tries, RandomGenerator random) {
    return uniform(random, 0.05, Math.min(5.0, 0.1 * Math.pow(2, Math.min(tries, 6))));
  }

  /** Returns the wait before an update goes out again that the server could not store. */
  static long updateAgain(RandomGenerator random) {
    return uniform(random, 0.5, 2.0);
  }

  /**
   * Waits before a stream is opened again: 0-1 s after a lost one, then full jitter 0.2-10 s, for
   * ever.
   */
  static final class Reconnect {
    private final RandomGenerator random;
    private int tries;

    Reconnect(RandomGenerator random) {
      this.random = random;
    }

    /** Begins anew: a stream stands. */
    void welcomed() {
      tries = 0;
    }

    /** Returns the next wait in nanoseconds. */
    long next() {
      tries++;
      if (tries == 1) {
        return uniform(random, 0.0, 1.0);
      }
      return uniform(random, 0.2, Math.min(10.0, Math.pow(2, Math.min(tries - 1, 6))));
    }
  }

  /**
   * Jobs to ask for beyond those that can run at once: what 0.02 to 0.25 s of work need.
   *
   * <p>As little as keeps the slots busy: what waits here cannot be overtaken by an urgent job, nor
   * run by another worker. Slow handlers get none; fast ones get thousands.
   */
  static final class Prefetch {
    private static final double LEAST_AHEAD = 0.02;
    private static final double MOST_AHEAD = 0.25;
    private static final double GROWTH = 2.0;
    private static final double DECAY = 0.8;
    private static final double SLOW = 0.25;

    private final int concurrency;
    private final int floor;
    private double ahead = LEAST_AHEAD;
    private int jobs;

    Prefetch(int concurrency) {
      this.concurrency = concurrency;
      floor = Math.min(concurrency, 10);
      jobs = floor;
    }

    int jobs() {
      return jobs;
    }

    /**
     * Learns from the last {@code seconds}: handlers ended, handlers running now, slots stood idle
     * over a backlog.
     */
    void observe(long ended, int running, double seconds, boolean starved) {
      ahead = starved ? Math.min(ahead * GROWTH, MOST_AHEAD) : Math.max(ahead * DECAY, LEAST_AHEAD);
      if (ended > 0) {
        int wanted = (int) (ended / seconds * ahead);
        // Little's law: running / rate is the mean time of a handler.
        boolean slow = running / (ended / seconds) > SLOW;
        int target = slow ? wanted : Math.max(wanted, floor);
        jobs = target > jobs ? target : (target + jobs) / 2;
      } else if (running >= concurrency) {
        jobs /= 2;
      } else if (running == 0) {
        jobs = floor;
      }
      jobs = Math.min(jobs, WorkerOptions.MAX_WINDOW - concurrency);
    }
  }

  /** How long slots stood idle because nothing was there to begin, in nanoseconds. */
  static final class Dryness {
    private boolean isDry;
    private long since;
    private long total;

    /** Notes that a slot is idle and nothing waits for it. */
    void ranDry(long now) {
      if (!isDry) {
        isDry = true;
        since = now;
      }
    }

    /** Notes that there is something to begin. */
    void refilled(long now) {
      if (isDry) {
        isDry = false;
        total += now - since;
      }
    }

    /** Returns how long it was since this was asked last. */
    long take(long now) {
      if (isDry) {
        total += now - since;
        since = now;
      }
      long taken = total;
      total = 0;
      return taken;
    }
  }
}
