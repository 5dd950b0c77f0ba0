<?php

declare(strict_types=1);

namespace ProtoJobs\Exception;

/** The deadline passed. The outcome is unknown; a retry with the same ids is safe. */
class DeadlineExceededException extends ProtoJobsException
{
    public function isRetryable(): bool
    {
        return true;
    }
}
