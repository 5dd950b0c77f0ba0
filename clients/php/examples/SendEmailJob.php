<?php

declare(strict_types=1);

use ProtoJobs\Job;

/** Sends an email; here it only says so. */
class SendEmailJob extends Job
{
    protected string $queue = 'emails';
    protected int $maxRetries = 3;
    protected int $retryDelay = 60;
    protected int $timeout = 30;

    public function handle(mixed $data): mixed
    {
        fwrite(STDERR, "to {$data['to']}: {$data['subject']}\n");
        return ['sent' => true];
    }

    public function failed(Throwable $exception, mixed $data): void
    {
        fwrite(STDERR, "not sent to {$data['to']}: {$exception->getMessage()}\n");
    }
}
