<?php

declare(strict_types=1);

namespace ProtoJobs;

use ProtoJobs\Exception\ProtoJobsException;

/** An item of a batch that was not stored, and why. */
final class Refused
{
    public function __construct(
        public readonly string $jobId,
        public readonly ProtoJobsException $error,
    ) {
    }
}
