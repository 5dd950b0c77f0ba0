<?php

declare(strict_types=1);

namespace ProtoJobs\Exception;

/** A bound is reached. Worth a retry where the server says when. */
class ResourceExhaustedException extends ProtoJobsException
{
    public function isRetryable(): bool
    {
        return $this->retryAfter() !== null;
    }
}
