<?php

declare(strict_types=1);

namespace ProtoJobs\Exception;

use ProtoJobs\Transport\StatusCode;

/**
 * Anything that goes wrong between this program and the server. `reason()` is stable; the message is for people.
 *
 * A class stands for each code of gRPC, and one below it for each reason that a program may want to tell apart.
 */
class ProtoJobsException extends \RuntimeException
{
    /**
     * @param string $reason upper-case name of the reason, empty where the server gave none
     * @param array<string, string> $metadata what the server says about the reason
     * @param float|null $retryAfter seconds after which the server wants to be asked again
     * @param list<FieldViolation> $violations
     */
    final public function __construct(
        string $message = '',
        private readonly StatusCode $status = StatusCode::Unknown,
        private readonly string $reason = '',
        private readonly array $metadata = [],
        private readonly ?float $retryAfter = null,
        private readonly array $violations = [],
        ?\Throwable $previous = null,
    ) {
        parent::__construct($message, $status->value, $previous);
    }

    /** The code of gRPC. */
    public function status(): StatusCode
    {
        return $this->status;
    }

    /** The stable reason, for example JOB_NOT_FOUND; empty where the server gave none. */
    public function reason(): string
    {
        return $this->reason;
    }

    /** @return array<string, string> what the server says about the reason */
    public function metadata(): array
    {
        return $this->metadata;
    }

    /** Seconds after which the server wants to be asked again; null where it does not say. */
    public function retryAfter(): ?float
    {
        return $this->retryAfter;
    }

    /** @return list<FieldViolation> fields of the request by their paths, and what is wrong with each */
    public function violations(): array
    {
        return $this->violations;
    }

    /** The same call with the same ids may succeed later, and does no harm if it was heard before. */
    public function isRetryable(): bool
    {
        return false;
    }
}
