<?php

declare(strict_types=1);

namespace ProtoJobs\Exception;

/** The server failed unexpectedly. */
class InternalException extends ProtoJobsException
{
    /** What to look for in the server's log. */
    public function errorId(): string
    {
        return $this->metadata()['error_id'] ?? '';
    }
}
