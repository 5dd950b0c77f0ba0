<?php

declare(strict_types=1);

namespace ProtoJobs;

use ProtoJobs\Exception\ProtoJobsException;

/** An item of a batch that was not stored, and why. */
final class Refused
{
    /** The id is that of the item, which the client gave it. */
    public function __construct(
        public readonly string $jobId,
        public readonly ProtoJobsException $error,
    ) {
    }
}
