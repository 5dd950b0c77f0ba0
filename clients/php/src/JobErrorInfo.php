<?php

declare(strict_types=1);

namespace ProtoJobs;

use Protojobs\V1\JobError;

/** Why an attempt failed. The stack is there in full views and lists of attempts only. */
final class JobErrorInfo
{
    public function __construct(
        public readonly string $type,
        public readonly string $message,
        public readonly string $stack = '',
    ) {
    }

    /** Reads the message; null passes. @internal */
    public static function ofMessage(?JobError $error): ?self
    {
        return $error === null ? null : new self($error->getType(), $error->getMessage(), $error->getStack());
    }
}
