<?php

declare(strict_types=1);

namespace ProtoJobs\Exception;

/** The payload is over the limit. */
class PayloadTooLargeException extends FailedPreconditionException
{
    /** Most bytes that are taken; 0 if the server did not say. */
    public function limit(): int
    {
        return (int) ($this->metadata()['limit'] ?? 0);
    }

    /** Bytes that were sent; 0 if the server did not say. */
    public function size(): int
    {
        return (int) ($this->metadata()['size'] ?? 0);
    }
}
