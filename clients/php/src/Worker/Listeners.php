<?php

declare(strict_types=1);

namespace ProtoJobs\Worker;

use ProtoJobs\JobEvent;
use Psr\Log\LoggerInterface;

/**
 * Functions by the name of the event. An error in one is logged and changes nothing else.
 *
 * @internal
 */
final class Listeners
{
    public const EVENTS = ['job.queuing', 'job.queued', 'job.processing', 'job.processed', 'job.failed',
        'worker.starting', 'worker.stopped', 'worker.memory_exceeded'];

    /** @var array<string, list<\Closure>> */
    private array $listeners = [];

    public function __construct(private readonly LoggerInterface $logger)
    {
    }

    /** @throws \ValueError for a name that no event has */
    public function add(string $event, callable $listener): void
    {
        if (!in_array($event, self::EVENTS, true)) {
            throw new \ValueError("no event is called '$event'; there are " . implode(', ', self::EVENTS));
        }
        $this->listeners[$event][] = $listener(...);
    }

    public function has(string $event): bool
    {
        return isset($this->listeners[$event]);
    }

    /** @param array<string, mixed> $data */
    public function emit(string $event, array $data): void
    {
        if (!$this->has($event)) {
            return;
        }
        $value = new JobEvent($event, $data);
        foreach ($this->listeners[$event] as $listener) {
            try {
                $listener($value);
            } catch (\Throwable $error) {
                $this->logger->error('listener failed', ['event' => $event, 'exception' => $error]);
            }
        }
    }
}
