<?php

declare(strict_types=1);

namespace ProtoJobs;

/** What became of a dispatch. */
final class Dispatched
{
    /** The state is told where one job was dispatched by a call of its own; Unknown in batches. */
    public function __construct(
        public readonly string $jobId,
        public readonly DispatchOutcome $outcome,
        public readonly JobState $state = JobState::Unknown,
    ) {
    }
}
