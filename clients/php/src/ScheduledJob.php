<?php

declare(strict_types=1);

namespace ProtoJobs;

/** What `Jobs::schedule...` has stored: a job at a time, or a schedule that makes one again and again. */
final class ScheduledJob
{
    /**
     * @internal
     * @param string|null $jobId of a job at a time
     * @param string|null $name of a schedule
     */
    public function __construct(
        private readonly string $job,
        private readonly mixed $data,
        private readonly string $queue,
        private readonly ?int $nextRun,
        private readonly ?int $interval = null,
        private readonly ?string $jobId = null,
        private readonly ?string $name = null,
    ) {
    }

    /** Reads a schedule as the server has it. @internal */
    public static function ofSchedule(ScheduleInfo $schedule): self
    {
        $data = json_decode($schedule->payload, true);
        $interval = $schedule->interval === null ? null : (int) $schedule->interval;
        $nextRun = $schedule->nextAt?->getTimestamp();
        $queue = $schedule->queue ?: Specs::DEFAULT_QUEUE;
        return new self(str_replace('.', '\\', $schedule->kind), $data, $queue, $nextRun, $interval, name: $schedule->name);
    }

    /** Id of the job, of one at a time; null for a schedule. */
    public function getJobId(): ?string
    {
        return $this->jobId;
    }

    /** Name of the schedule; null for a job at a time. */
    public function getName(): ?string
    {
        return $this->name;
    }

    /** It makes a job again and again. */
    public function isRecurring(): bool
    {
        return $this->name !== null;
    }

    /** Name of the class, or the kind. */
    public function getJob(): string
    {
        return $this->job;
    }

    public function getData(): mixed
    {
        return $this->data;
    }

    public function getQueue(): string
    {
        return $this->queue;
    }

    /** When it runs next, in seconds since 1970; null: no more. */
    public function getNextRun(): ?int
    {
        return $this->nextRun;
    }

    /** Seconds between two runs, of schedules with a fixed distance. */
    public function getInterval(): ?int
    {
        return $this->interval;
    }
}
