<?php

declare(strict_types=1);

namespace ProtoJobs\Worker;

/**
 * Hears nothing; the base for observers that want to hear some things.
 */
class NullObserver implements Observer
{
    public function ready(string $session, bool $resumed): void
    {
    }

    public function started(JobContext $context): void
    {
    }

    public function ended(string $jobId, int $attempt, string $outcome): void
    {
    }

    public function settled(string $jobId, int $attempt, string $code): void
    {
    }

    public function draining(): void
    {
    }

    public function stopped(int $processed): void
    {
    }
}
