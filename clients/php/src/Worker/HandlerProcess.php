<?php

declare(strict_types=1);

namespace ProtoJobs\Worker;

/**
 * The worker's side of a process that runs handlers.
 *
 * @internal
 */
final class HandlerProcess
{
    public ?Lease $lease = null;
    /** It waits to hear what became of a failure. */
    public bool $isConfirming = false;
    public ?Lease $confirms = null;
    public ?string $lastWords = null;

    public function __construct(public readonly int $pid, public readonly Pipe $pipe)
    {
    }

    public function isIdle(): bool
    {
        return $this->lease === null && !$this->isConfirming;
    }
}
