<?php

declare(strict_types=1);

namespace ProtoJobs;

/**
 * Something that happened to a job in this process, for `Jobs::listen` and `Worker::on`.
 *
 * Keys: id, queue, job_class, job_name, data, attempts (runs so far, this one included), context;
 * job.processed: execution_time (seconds), result;
 * job.failed: execution_time, exception, final (the job is FAILED), next_at (when it runs again);
 * job.queuing, job.queued: those of the request, and id once it is stored;
 * worker.starting, worker.stopped, worker.memory_exceeded: worker, queues, processed, reason, memory_bytes.
 */
final class JobEvent
{
    private readonly float $timestamp;

    /** @param array<string, mixed> $data */
    public function __construct(private readonly string $type, private array $data = [])
    {
        $this->timestamp = microtime(true);
    }

    /** Name of the event, for example job.processed. */
    public function getType(): string
    {
        return $this->type;
    }

    /** When it was made, in seconds since 1970. */
    public function getTimestamp(): float
    {
        return $this->timestamp;
    }

    /** @return array<string, mixed> */
    public function getData(): array
    {
        return $this->data;
    }

    /** Returns a value, or the default where there is none. */
    public function get(string $key, mixed $default = null): mixed
    {
        return $this->data[$key] ?? $default;
    }

    /** There is a value, and it is not null. */
    public function has(string $key): bool
    {
        return isset($this->data[$key]);
    }

    /** Changes a value for the listeners that follow. */
    public function set(string $key, mixed $value): self
    {
        $this->data[$key] = $value;
        return $this;
    }
}
