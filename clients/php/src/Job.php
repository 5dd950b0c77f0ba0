<?php

declare(strict_types=1);

namespace ProtoJobs;

use ProtoJobs\Worker\JobContext;

/**
 * A kind of job. Subclass it, set what differs from the defaults, and write `handle`.
 *
 *     class SendEmailJob extends Job
 *     {
 *         protected string $queue = 'emails';
 *
 *         public function handle(mixed $data): mixed
 *         {
 *             mail($data['to'], $data['subject'], $data['body']);
 *             return ['sent' => true];
 *         }
 *     }
 *
 *     Jobs::dispatch(SendEmailJob::class, ['to' => 'ann@example.com', 'subject' => 'Hi', 'body' => '...']);
 *
 * It is constructed without arguments, once per run.
 */
abstract class Job
{
    /** Kind of the job; empty: the name of the class, with dots for backslashes. */
    protected string $name = '';
    protected string $queue = 'default';
    /** Runs in all, the first one included: 3 means two retries. */
    protected int $maxRetries = 3;
    /** Seconds before the first retry; later waits grow. */
    protected int $retryDelay = 60;
    /** Seconds that one run may take. */
    protected int $timeout = 300;

    private ?JobContext $context = null;

    /**
     * Does the work. What it returns is stored as the result (JSON, at most 256 KiB); what it throws fails this run.
     *
     * To say more, throw or return one of Retry, Snooze, Discard, Cancel and Complete.
     */
    abstract public function handle(mixed $data): mixed;

    /** Is called after the run with which the job has failed for good. */
    public function failed(\Throwable $exception, mixed $data): void
    {
    }

    /**
     * Tells whether a failure may be retried. It can only stop retries: none comes after `maxRetries` runs.
     *
     * @param int $attempts failed runs so far, this one included
     */
    public function shouldRetry(int $attempts, \Throwable $exception): bool
    {
        return $attempts < $this->maxRetries;
    }

    /** Sends it to this queue. */
    public function onQueue(string $queue): static
    {
        $this->queue = $queue;
        return $this;
    }

    /** Runs it up to $runs times in all. (JobRequest::retries counts what comes after the first run.) */
    public function retries(int $runs): static
    {
        $this->maxRetries = $runs;
        return $this;
    }

    /** Waits so many seconds before the first retry; later waits grow. */
    public function retryAfter(int $seconds): static
    {
        $this->retryDelay = $seconds;
        return $this;
    }

    /** Bounds one run to so many seconds. */
    public function timeout(int $seconds): static
    {
        $this->timeout = $seconds;
        return $this;
    }

    /** Returns the kind that this class stands for. */
    public static function kind(): string
    {
        $name = (new \ReflectionClass(static::class))->getDefaultProperties()['name'];
        return $name !== '' ? $name : str_replace('\\', '.', static::class);
    }

    /** Returns what a dispatch of this job asks for. */
    public function request(mixed $data = null): JobRequest
    {
        return new JobRequest(
            static::kind(),
            $data,
            queue: $this->queue,
            retry: new RetryPolicy(maxRetries: max(0, $this->maxRetries - 1), initialBackoff: $this->retryDelay),
            runTimeout: $this->timeout,
        );
    }

    /**
     * Returns the run that `handle` is called for: job id, attempt, headers, progress, checkpoint, and whether to stop.
     *
     * @throws \LogicException outside of a worker
     */
    public function context(): JobContext
    {
        return $this->context ?? throw new \LogicException('this job does not run in a worker');
    }

    /** Makes the job of a run, as it was dispatched. @internal */
    final public static function ofRun(JobContext $context): static
    {
        $job = new static();
        $job->context = $context;
        $job->queue = $context->queue();
        $job->maxRetries = $context->maxRetries() + 1;
        $job->timeout = (int) ceil($context->runTimeout());
        return $job;
    }
}
