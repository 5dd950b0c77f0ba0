package dev.protojobs.worker;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.time.Duration;
import java.util.Random;
import java.util.stream.IntStream;
import java.util.stream.LongStream;
import org.junit.jupiter.api.Test;

class PacingTest {
  private static final long SECOND = Duration.ofSeconds(1).toNanos();

  @Test
  void theFirstWaitIsBelowASecondAndLaterOnesGrowToTen() {
    long[] firsts =
        LongStream.range(0, 200)
            .map(seed -> new Pacing.Reconnect(new Random(seed)).next())
            .toArray();
    Pacing.Reconnect lasting = new Pacing.Reconnect(new Random(1));
    lasting.next();
    long[] later = IntStream.range(0, 500).mapToLong(number -> lasting.next()).toArray();

    assertTrue(LongStream.of(firsts).allMatch(wait -> wait >= 0 && wait <= SECOND));
    assertTrue(LongStream.of(later).allMatch(wait -> wait >= SECOND / 5 && wait <= 10 * SECOND));
    assertTrue(LongStream.of(later).max().orElseThrow() > 8 * SECOND);
  }

  @Test
  void aWelcomeBeginsTheWaitsAnew() {
    Pacing.Reconnect reconnect = new Pacing.Reconnect(new Random(1));
    IntStream.range(0, 20).forEach(number -> reconnect.next());

    reconnect.welcomed();

    assertTrue(reconnect.next() <= SECOND);
  }

  @Test
  void fastHandlersGetMoreAheadAndSlowOnesNone() {
    Pacing.Prefetch fast = new Pacing.Prefetch(10);
    IntStream.range(0, 20).forEach(number -> fast.observe(10_000, 10, 0.25, true));
    Pacing.Prefetch slow = new Pacing.Prefetch(10);
    IntStream.range(0, 20).forEach(number -> slow.observe(0, 10, 0.25, false));

    assertEquals(10_000, fast.jobs());
    assertEquals(0, slow.jobs());
  }

  @Test
  void slotsStandIdleFromWhenNothingIsLeftUntilSomethingComes() {
    Pacing.Dryness dryness = new Pacing.Dryness();

    dryness.ranDry(10);
    dryness.ranDry(15);
    dryness.refilled(20);
    dryness.refilled(30);
    dryness.ranDry(40);

    assertEquals(15, dryness.take(45));
    assertEquals(5, dryness.take(50));
    dryness.refilled(50);
    assertEquals(0, dryness.take(60));
  }
}
