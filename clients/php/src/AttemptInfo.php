<?php

declare(strict_types=1);

namespace ProtoJobs;

use Protojobs\V1\Attempt as Message;
use Protojobs\V1\AttemptOutcome;

/** One lease of a job, or the end of a job that waited. Times are UTC. */
final class AttemptInfo
{
    /** @param string $outcome completed, failed, cancelled, expired, retried, snoozed, released, crashed or running */
    public function __construct(
        public readonly string $jobId,
        public readonly int $attempt,
        public readonly string $outcome,
        public readonly string $worker,
        public readonly string $reason,
        public readonly ?\DateTimeImmutable $startedAt,
        public readonly ?\DateTimeImmutable $finishedAt,
        public readonly ?JobErrorInfo $error,
        public readonly bool $retriedByHand,
    ) {
    }

    /** Reads the message. @internal */
    public static function ofMessage(Message $attempt): self
    {
        try {
            $outcome = AttemptOutcome::name($attempt->getOutcome());
        } catch (\UnexpectedValueException) {
            $outcome = 'ATTEMPT_OUTCOME_UNKNOWN';
        }
        return new self(
            $attempt->getJobId(),
            $attempt->getAttempt(),
            strtolower(substr($outcome, strlen('ATTEMPT_OUTCOME_'))),
            $attempt->getWorker(),
            $attempt->getReason(),
            Times::time($attempt->getStartTime()),
            Times::time($attempt->getFinishTime()),
            JobErrorInfo::ofMessage($attempt->getError()),
            $attempt->getRetriedByHand(),
        );
    }
}
