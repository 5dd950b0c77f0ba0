<?php

declare(strict_types=1);

namespace ProtoJobs\Exception;

/** No server answers at the moment. */
class UnavailableException extends ProtoJobsException
{
    public function isRetryable(): bool
    {
        return true;
    }
}
