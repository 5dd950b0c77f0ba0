<?php

declare(strict_types=1);

namespace ProtoJobs\Exception;

/** The time part of a job id is too far from the server's time. */
class JobIdTimeException extends InvalidArgumentException
{
    /** The server's time (RFC 3339) when it refused the id; empty if it did not say. */
    public function serverTime(): string
    {
        return $this->metadata()['server_time'] ?? '';
    }
}
