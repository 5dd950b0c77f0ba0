<?php

declare(strict_types=1);

namespace ProtoJobs\Worker;

use Protojobs\V1\LeasedJob;

/**
 * One attempt of one job, held by this session.
 *
 * @internal
 */
final class Lease
{
    public LeaseState $state = LeaseState::Running;
    public ?Outcome $outcome = null;
    public readonly float $beganAt;
    public ?StopReason $stopReason = null;
    public float $stoppedAt = 0.0;
    /** Its outcome is on its way, and the answer has not come. */
    public bool $isSent = false;
    public int $tries = 0;
    public int $refusals = 0;
    public float $dueAt = 0.0;
    /** @var array{float, string}|null progress that has not left */
    public ?array $progress = null;
    public float $progressSentAt = -INF;
    public ?string $checkpoint = null;
    /** What left last: accepted updates are not answered, so it goes with a failure, too. */
    public ?string $toldCheckpoint = null;
    /** @var array{float, string}|null */
    public ?array $toldProgress = null;

    public function __construct(
        public readonly string $jobId,
        public readonly int $attempt,
        public readonly LeasedJob $job,
        public readonly float $runTimeout,
        float $now,
    ) {
        $this->beganAt = $now;
    }

    public function kind(): string
    {
        return (string) $this->job->getSpec()?->getKind();
    }

    /** It has something to say that may leave now: progress at most once a second, but the last before its outcome. */
    public function hasUpdate(float $now): bool
    {
        if ($this->state === LeaseState::Gone || ($this->progress === null && $this->checkpoint === null)) {
            return false;
        }
        return $this->checkpoint !== null || $this->state === LeaseState::Ended || $now >= $this->progressSentAt + 1.0;
    }
}
