<?php

declare(strict_types=1);

namespace ProtoJobs;

use Protojobs\V1\JobEvent as Message;

/**
 * One change of one job, as those hear of it who watch.
 *
 * `cursor` is the place to go on behind it. `job` is the job as the change left it, null once it was deleted.
 */
final class JobChange
{
    /** @param float|null $executionTime seconds */
    public function __construct(
        public readonly string $type,
        public readonly string $jobId,
        public readonly ?JobInfo $job,
        public readonly int $attempt,
        public readonly JobState $before,
        public readonly JobState $after,
        public readonly ?\DateTimeImmutable $at,
        public readonly string $actor,
        public readonly ?float $executionTime,
        public readonly string $cursor,
    ) {
    }

    /** Reads the message. @internal */
    public static function ofMessage(Message $event): self
    {
        $job = $event->getJob();
        return new self(
            $event->getType(),
            (string) $job?->getId(),
            $job !== null && $job->hasSpec() ? JobInfo::ofMessage($job, false) : null,
            $event->getAttempt(),
            JobState::ofNumber($event->getFrom()),
            JobState::ofNumber($event->getTo()),
            Times::time($event->getEventTime()),
            $event->getActor(),
            Times::seconds($event->getExecutionTime()),
            $event->getCursor(),
        );
    }
}
