package dev.protojobs.worker;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertSame;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.protobuf.ByteString;
import dev.protojobs.v1.LeaseRef;
import dev.protojobs.v1.LeasedJob;
import dev.protojobs.v1.ReleaseReason;
import java.util.List;
import org.junit.jupiter.api.Test;

class LedgerTest {
  private final Ledger ledger = new Ledger();

  LedgerTest() {
    ledger.openStream(1);
  }

  private static LeasedJob job(String id, int attempt) {
    return LeasedJob.newBuilder().setJobId(id).setAttempt(attempt).build();
  }

  private List<Lease> begin(int limit) {
    return ledger.begin(limit, 0);
  }

  private static List<String> ids(List<Lease> leases) {
    return leases.stream().map(Lease::jobId).toList();
  }

  @Test
  void jobsBeginInTheOrderOfDeliveryAndAreCounted() {
    ledger.deliver(List.of(job("a", 1), job("b", 1), job("c", 1)));

    assertEquals(List.of("a", "b"), ids(begin(2)));
    assertEquals(2, ledger.begun());
    assertEquals(1, ledger.waiting());
  }

  @Test
  void aRepeatedDeliveryTakesItsPlaceInTheOrderAndDoesNotRunAgain() {
    ledger.deliver(List.of(job("a", 1), job("a", 1), job("b", 1)));

    assertEquals(List.of("a", "b"), ids(begin(9)));
    assertEquals(3, ledger.begun());
  }

  @Test
  void aNewerAttemptStopsTheOneThatRuns() {
    ledger.deliver(List.of(job("a", 1)));
    Lease old = begin(1).get(0);

    assertEquals(List.of(old), ledger.deliver(List.of(job("a", 2))));
    assertFalse(ledger.end(old, Outcome.COMPLETED));
    assertEquals(2, begin(1).get(0).attempt());
  }

  @Test
  void anOutcomeIsSentOnEveryStreamUntilItIsAnswered() {
    ledger.deliver(List.of(job("a", 1)));
    Lease lease = begin(1).get(0);
    ledger.end(lease, Outcome.COMPLETED);
    assertEquals(List.of(lease), ledger.takeUnsent(10, 1000));
    assertEquals(List.of(), ledger.takeUnsent(10, 1000));

    ledger.openStream(2);
    assertEquals(List.of(lease), ledger.takeUnsent(10, 1000));

    ledger.settled(lease);
    ledger.openStream(3);
    assertEquals(List.of(), ledger.takeUnsent(10, 1000));
    assertTrue(ledger.isIdle());
  }

  @Test
  void whatTheServerDoesNotKeepIsStoppedOrDroppedButOutcomesStay() {
    ledger.deliver(List.of(job("runs", 1), job("ended", 1), job("kept", 1), job("waits", 1)));
    List<Lease> begun = begin(3);
    ledger.end(begun.get(1), Outcome.COMPLETED);
    ledger.openStream(2);

    List<Lease> lost =
        ledger.resume(List.of(LeaseRef.newBuilder().setJobId("kept").setAttempt(1).build()));

    assertEquals(List.of("runs"), ids(lost));
    assertEquals(List.of("ended", "kept"), ids(List.copyOf(ledger.leases())));
    assertEquals(List.of(), begin(9));
    assertEquals(0, ledger.begun());
  }

  @Test
  void jobsOfAnEarlierStreamDoNotCountAsBegunOnThisOne() {
    LeasedJob waits = job("a", 1);
    ledger.deliver(List.of(waits));
    ledger.openStream(2);
    ledger.resume(List.of(LeaseRef.newBuilder().setJobId("a").setAttempt(1).build()));
    ledger.deliver(List.of(job("b", 1)));

    assertEquals(List.of("a", "b"), ids(begin(9)));
    assertEquals(1, ledger.begun());
  }

  @Test
  void whatWasPutBackBeginsAgainInTheSameOrder() {
    ledger.deliver(List.of(job("a", 1), job("b", 1), job("c", 1)));
    ledger.putBack(begin(2));

    assertEquals(0, ledger.running());
    assertEquals(List.of("a", "b", "c"), ids(begin(9)));
  }

  @Test
  void aCancelledJobThatWaitsEndsAndIsSkipped() {
    ledger.deliver(List.of(job("a", 1), job("b", 1)));

    assertEquals(null, ledger.cancel("a", 1, new Outcome.Cancelled(false)));

    assertEquals(List.of("b"), ids(begin(9)));
    assertEquals(2, ledger.begun());
    assertEquals(List.of("a"), ids(ledger.takeUnsent(9, 1000)));
  }

  @Test
  void aCancelOfALostLeaseForgetsIt() {
    ledger.deliver(List.of(job("a", 1)));
    Lease lease = begin(1).get(0);

    assertSame(lease, ledger.cancel("a", 1, null));

    assertFalse(ledger.end(lease, Outcome.COMPLETED));
    assertTrue(ledger.isIdle());
    assertEquals(0, ledger.unsent());
  }

  @Test
  void aRefusedOutcomeBecomesAPlainFailureAndIsGivenUpInTheEnd() {
    ledger.deliver(List.of(job("a", 1)));
    Lease lease = begin(1).get(0);
    ledger.end(lease, Outcome.COMPLETED);

    assertTrue(ledger.refuse(lease, "why"));
    assertEquals("INVALID_OUTCOME", ((Outcome.Failed) lease.outcome).error().getType());
    assertTrue(ledger.refuse(lease, "why"));
    assertFalse(ledger.refuse(lease, "why"));
    assertEquals(0, ledger.size());
  }

  @Test
  void aFrameHasAtLeastOneOutcomeAndNoMoreThanFit() {
    ledger.deliver(List.of(job("a", 1), job("b", 1)));
    ByteString large = ByteString.copyFrom(new byte[1000]);
    begin(2).forEach(lease -> ledger.end(lease, new Outcome.Completed(large, List.of())));

    assertEquals(List.of("a"), ids(ledger.takeUnsent(9, 1200)));
    assertEquals(List.of("b"), ids(ledger.takeUnsent(9, 100)));
  }

  @Test
  void whatCouldNotBeStoredIsSentAgainWhenItIsDue() {
    ledger.deliver(List.of(job("a", 1)));
    Lease lease = begin(1).get(0);
    ledger.end(lease, Outcome.COMPLETED);
    ledger.takeUnsent(9, 1000);
    ledger.retryLater(lease, 100);

    ledger.revive(99);
    assertEquals(0, ledger.unsent());
    ledger.revive(100);
    assertEquals(1, ledger.unsent());
  }

  @Test
  void whatIsGivenBackIsSettledAndWhatIsDroppedIsNot() {
    ledger.deliver(List.of(job("a", 1)));
    ledger.releaseWaiting(ReleaseReason.RELEASE_REASON_SHUTDOWN);
    ledger.deliver(List.of(job("b", 1)));
    ledger.dropWaiting();

    assertEquals(List.of("a"), ids(ledger.takeUnsent(9, 1000)));
    assertEquals(1, ledger.begun());
    assertEquals(0, ledger.waiting());
  }
}
