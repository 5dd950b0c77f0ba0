<?php

declare(strict_types=1);

namespace ProtoJobs\Worker;

/** Stands for an error that is no exception of this process: a timeout, a dead process. */
final class JobError extends \RuntimeException
{
    /** The type is the error's name for the server, which no class has. */
    public function __construct(public readonly string $type, string $message)
    {
        parent::__construct("$type: $message");
    }
}
