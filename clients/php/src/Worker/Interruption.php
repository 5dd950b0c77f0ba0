<?php

declare(strict_types=1);

namespace ProtoJobs\Worker;

/**
 * Lets a signal of the worker throw JobStopped into a handler: once, while it runs, and not in the middle of a message.
 *
 * @internal
 */
final class Interruption
{
    private ?JobContext $context = null;
    private bool $isAllowed = false;

    /** @param \Closure(): void $look reads what the worker says, and stops the context if that is for it */
    public function __construct(private readonly \Closure $look)
    {
    }

    /** A handler is about to run. */
    public function allow(JobContext $context): void
    {
        $this->context = $context;
        $this->isAllowed = true;
        $this->signalled(); // a signal may have come just before
    }

    /** It has ended. */
    public function forbid(): void
    {
        $this->isAllowed = false;
        $this->context = null;
    }

    /** A signal has come. */
    public function signalled(): void
    {
        if ($this->isAllowed) {
            ($this->look)();
            $this->throwOnce();
        }
    }

    /** Does something that must not be torn by an exception. */
    public function without(\Closure $work): void
    {
        $wasAllowed = $this->isAllowed;
        $this->isAllowed = false;
        $work();
        $this->isAllowed = $wasAllowed;
        $this->signalled();
    }

    private function throwOnce(): void
    {
        if ($this->context !== null && $this->context->isCancelled()) {
            $this->isAllowed = false;
            $this->context->throwIfCancelled();
        }
    }
}
