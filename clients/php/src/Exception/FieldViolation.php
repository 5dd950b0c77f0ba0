<?php

declare(strict_types=1);

namespace ProtoJobs\Exception;

/** A field of the request by its path, and what is wrong with it. */
final class FieldViolation
{
    /** Names a field as the contract does, `jobs[3].kind`. */
    public function __construct(
        public readonly string $field,
        public readonly string $description,
    ) {
    }
}
