<?php

declare(strict_types=1);

namespace ProtoJobs\Exception;

/**
 * The codec cannot read a payload, a result or a checkpoint; no retry can help. Never tells any of the bytes.
 *
 * Reasons: NO_CODEC, UNKNOWN_KEY, NOT_AUTHENTIC (another key, another kind or queue, or changed bytes), NOT_ENCRYPTED,
 * CORRUPT, TOO_LARGE. The message begins with the reason.
 */
class UndecodableException extends ProtoJobsException
{
    /** Makes the exception of a reason. */
    public static function because(string $reason, string $why): self
    {
        return new self("$reason: $why", reason: $reason);
    }
}
