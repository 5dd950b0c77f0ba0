<?php

declare(strict_types=1);

namespace ProtoJobs;

/** A job that has failed for good, by the names that its columns had. */
final class FailedJob
{
    /**
     * @internal
     * @param string $job_class name of the class
     * @param string $job_name the same without its namespace
     * @param int $attempts failed runs
     * @param string $failed_at local time, Y-m-d H:i:s
     */
    public function __construct(
        public readonly string $job_id,
        public readonly string $queue,
        public readonly string $job_class,
        public readonly string $job_name,
        public readonly mixed $data,
        public readonly int $attempts,
        public readonly string $error,
        public readonly string $error_type,
        public readonly string $trace,
        public readonly string $failed_at,
    ) {
    }

    /** Reads a job, in full view. @internal */
    public static function of(JobInfo $job): self
    {
        $class = str_replace('.', '\\', $job->kind);
        $zone = new \DateTimeZone(date_default_timezone_get());
        return new self(
            $job->id,
            $job->queue,
            $class,
            substr((string) strrchr("\\$class", '\\'), 1),
            json_decode((string) $job->payload, true),
            $job->failures,
            $job->lastError?->message ?: $job->reason,
            $job->lastError->type ?? $job->reason,
            $job->lastError->stack ?? '',
            $job->finishedAt?->setTimezone($zone)->format('Y-m-d H:i:s') ?? '',
        );
    }
}
