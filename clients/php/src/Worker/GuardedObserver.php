<?php

declare(strict_types=1);

namespace ProtoJobs\Worker;

use Psr\Log\LoggerInterface;

/**
 * Tells an observer, whose errors are logged and change nothing else: the loop that it would end renews leases.
 *
 * @internal
 */
final class GuardedObserver implements Observer
{
    public function __construct(private readonly Observer $observer, private readonly LoggerInterface $logger)
    {
    }

    public function ready(string $session, bool $resumed): void
    {
        $this->tell(fn () => $this->observer->ready($session, $resumed));
    }

    public function started(JobContext $context): void
    {
        $this->tell(fn () => $this->observer->started($context));
    }

    public function ended(string $jobId, int $attempt, string $outcome): void
    {
        $this->tell(fn () => $this->observer->ended($jobId, $attempt, $outcome));
    }

    public function settled(string $jobId, int $attempt, string $code): void
    {
        $this->tell(fn () => $this->observer->settled($jobId, $attempt, $code));
    }

    public function draining(): void
    {
        $this->tell(fn () => $this->observer->draining());
    }

    public function stopped(int $processed): void
    {
        $this->tell(fn () => $this->observer->stopped($processed));
    }

    /** @param \Closure(): mixed $call */
    private function tell(\Closure $call): void
    {
        try {
            $call();
        } catch (\Throwable $error) {
            $this->logger->error('observer failed', ['exception' => $error]);
        }
    }
}
