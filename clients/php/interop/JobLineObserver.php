<?php

declare(strict_types=1);

namespace ProtoJobs\Interop;

use ProtoJobs\Worker\JobContext;
use ProtoJobs\Worker\Worker;

/** Tells each step of every job, too, and stops the worker after so many settled ones. */
final class JobLineObserver extends LineObserver
{
    public ?Worker $worker = null;
    /** @var array<string, true> */
    private array $ended = [];
    private int $settled = 0;

    public function __construct(private readonly int $most)
    {
    }

    public function started(JobContext $context): void
    {
        $payload = $context->payload()->data;
        $runAt = $context->runAt();
        $checkpoint = $context->checkpoint();
        Lines::write('started', [
            'job_id' => $context->jobId(),
            'kind' => $context->kind(),
            'attempt' => $context->attempt(),
            'payload_sha256' => hash('sha256', $payload),
            'payload_len' => strlen($payload),
            'headers' => (object) $context->headers(),
            'priority' => $context->priority(),
            'run_time_us' => $runAt === null ? null : (int) $runAt->format('Uu'),
            'traceparent' => $context->traceparent(),
            'checkpoint' => $checkpoint === null ? null : base64_encode($checkpoint),
            'at_us' => (int) (microtime(true) * 1e6),
        ]);
    }

    public function ended(string $jobId, int $attempt, string $outcome): void
    {
        $this->ended["$jobId/$attempt"] = true;
        Lines::write('ended', ['job_id' => $jobId, 'attempt' => $attempt, 'outcome' => $outcome]);
    }

    public function settled(string $jobId, int $attempt, string $code): void
    {
        Lines::write('settled', ['job_id' => $jobId, 'attempt' => $attempt, 'code' => $code]);
        if (isset($this->ended["$jobId/$attempt"]) && $code !== 'RETRY_LATER') {
            unset($this->ended["$jobId/$attempt"]);
            if (++$this->settled === $this->most) {
                $this->worker?->stop();
            }
        }
    }
}
