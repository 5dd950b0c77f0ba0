<?php

declare(strict_types=1);

namespace ProtoJobs;

use Protojobs\V1\QueueStats as Message;
use Protojobs\V1\StateCounts;

/** Numbers of one queue: jobs by state, and how it goes. */
final class QueueStats
{
    /**
     * @param float|null $oldestPendingAge seconds; null: nothing is pending
     * @param float|null $averageRunTime seconds, over 5 minutes
     */
    public function __construct(
        public readonly string $queue,
        public readonly int $scheduled,
        public readonly int $pending,
        public readonly int $running,
        public readonly int $retrying,
        public readonly int $completed,
        public readonly int $failed,
        public readonly int $cancelled,
        public readonly int $expired,
        public readonly ?float $oldestPendingAge,
        public readonly float $completedPerSecond,
        public readonly float $failedPerSecond,
        public readonly ?float $averageRunTime,
        public readonly int $workers,
        public readonly bool $paused,
    ) {
    }

    /** Reads the message. @internal */
    public static function ofMessage(Message $stats): self
    {
        $counts = $stats->getCounts() ?? new StateCounts();
        return new self(
            $stats->getQueue(),
            (int) $counts->getScheduled(),
            (int) $counts->getPending(),
            (int) $counts->getRunning(),
            (int) $counts->getRetrying(),
            (int) $counts->getCompleted(),
            (int) $counts->getFailed(),
            (int) $counts->getCancelled(),
            (int) $counts->getExpired(),
            Times::seconds($stats->getOldestPendingAge()),
            $stats->getCompletedPerSecond1M(),
            $stats->getFailedPerSecond1M(),
            Times::seconds($stats->getAverageRunTime()),
            $stats->getWorkers(),
            $stats->getPaused(),
        );
    }
}
