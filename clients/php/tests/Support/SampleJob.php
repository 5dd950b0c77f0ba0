<?php

declare(strict_types=1);

namespace ProtoJobs\Tests\Support;

use ProtoJobs\Job;

class SampleJob extends Job
{
    protected string $queue = 'samples';
    protected int $maxRetries = 3;
    protected int $retryDelay = 7;
    protected int $timeout = 20;

    public function handle(mixed $data): mixed
    {
        return match ($data['do'] ?? '') {
            'throw' => throw new \DomainException('as it was told'),
            'context' => $this->context()->jobId(),
            default => $data,
        };
    }

    public function shouldRetry(int $attempts, \Throwable $exception): bool
    {
        return $exception->getMessage() !== 'hopeless' && parent::shouldRetry($attempts, $exception);
    }
}
