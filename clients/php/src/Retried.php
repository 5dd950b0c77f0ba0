<?php

declare(strict_types=1);

namespace ProtoJobs;

/** What became of a retry by hand. `already`: the job had gone on before this call. */
final class Retried
{
    /** The state is the one after the call. */
    public function __construct(
        public readonly string $jobId,
        public readonly JobState $state,
        public readonly bool $already,
    ) {
    }
}
