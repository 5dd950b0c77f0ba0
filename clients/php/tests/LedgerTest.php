<?php

declare(strict_types=1);

namespace ProtoJobs\Tests;

use PHPUnit\Framework\TestCase;
use Protojobs\V1\LeasedJob;
use ProtoJobs\Worker\Lease;
use ProtoJobs\Worker\Ledger;
use ProtoJobs\Worker\Outcome;

final class LedgerTest extends TestCase
{
    public function testARepeatedDeliveryIsNotTakenTwice(): void
    {
        $ledger = new Ledger();

        self::assertTrue($ledger->add(self::lease('a', 1)));
        self::assertFalse($ledger->add(self::lease('a', 1)));
        self::assertCount(1, $ledger->all());
    }

    public function testANewerAttemptEndsTheOlderOne(): void
    {
        $ledger = new Ledger();
        $old = self::lease('a', 1);
        $ledger->add($old);
        $ledger->add(self::lease('a', 2), $superseded);

        self::assertSame($old, $superseded);
        self::assertFalse($ledger->end($old, Outcome::complete()));
        self::assertNull($ledger->get('a', 1));
        self::assertNotNull($ledger->get('a', 2));
    }

    public function testAnOutcomeIsKeptUntilItIsForgotten(): void
    {
        $ledger = new Ledger();
        $lease = self::lease('a', 1);
        $ledger->add($lease);
        $ledger->end($lease, Outcome::complete());

        self::assertSame([$lease], $ledger->unsent(0.0));
        $lease->dueAt = 5.0;
        self::assertSame([], $ledger->unsent(4.0));
        self::assertSame([$lease], $ledger->unsent(5.0));
        $ledger->forget($lease);
        self::assertSame([], $ledger->unsent(9.0));
        self::assertTrue($ledger->isEmpty());
    }

    public function testAFrameHoldsAtLeastOneOutcomeAndNoMoreThanAMegabyte(): void
    {
        $ledger = new Ledger();
        foreach (['a', 'b', 'c'] as $id) {
            $lease = self::lease($id, 1);
            $ledger->add($lease);
            $ledger->end($lease, Outcome::complete(str_repeat('x', 600_000)));
        }

        self::assertCount(1, $ledger->unsent(0.0));
    }

    public function testAnOutcomeThatIsRefusedBecomesAPlainFailureAndIsGivenUpInTheEnd(): void
    {
        $ledger = new Ledger();
        $lease = self::lease('a', 1);
        $ledger->add($lease);
        $ledger->end($lease, Outcome::complete('odd'));

        self::assertTrue($ledger->refuse($lease, 'why'));
        self::assertSame(['fail', false], [$lease->outcome?->type, $lease->outcome?->retryable]);
        self::assertTrue($ledger->refuse($lease, 'why'));
        self::assertFalse($ledger->refuse($lease, 'why'));
        self::assertTrue($ledger->isEmpty());
    }

    private static function lease(string $jobId, int $attempt): Lease
    {
        return new Lease($jobId, $attempt, new LeasedJob(), 300.0, 0.0);
    }
}
