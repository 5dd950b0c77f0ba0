<?php

declare(strict_types=1);

namespace ProtoJobs;

/**
 * A job to dispatch: a kind, its data and options. Each fluent option returns a changed copy.
 *
 * `data` becomes JSON, unless it is a Payload. Times are seconds or intervals; what is null takes the queue's value.
 */
final class JobRequest
{
    /**
     * @param string $kind which handler runs it, [A-Za-z0-9._-]{1,128}
     * @param string|null $queue default "default"
     * @param int|float|\DateInterval|null $delay from the moment of storing; exclusive with runAt
     * @param \DateTimeInterface|null $runAt one in the past means at once
     * @param int|null $priority 1 to 9, higher first; default 5
     * @param string|null $jobId UUIDv7; chosen by the client when left out
     * @param array<string, string> $headers
     * @param array<string, string> $labels
     * @param int|float|\DateInterval|null $runTimeout longest run of one attempt; default 300 s
     * @param \DateTimeInterface|null $expireAt the job ends as EXPIRED if it waits then
     * @param string|null $fairnessKey whose share of a fair queue it takes
     * @param string|null $concurrencyKey of one key no more jobs of the queue run at once than its per_key_limit
     * @param int|float|\DateInterval|null $resultRetention how long its result is kept
     * @param list<self|string> $onComplete jobs to store in the transaction that completes it; at most 16
     * @param list<self|string> $onFailed jobs to store in the transaction in which it fails for good
     * @throws \ValueError for what no server could take
     */
    public function __construct(
        public readonly string $kind,
        public readonly mixed $data = null,
        public readonly ?string $queue = null,
        public readonly int|float|\DateInterval|null $delay = null,
        public readonly ?\DateTimeInterface $runAt = null,
        public readonly ?int $priority = null,
        public readonly ?string $jobId = null,
        public readonly array $headers = [],
        public readonly array $labels = [],
        public readonly ?RetryPolicy $retry = null,
        public readonly int|float|\DateInterval|null $runTimeout = null,
        public readonly ?\DateTimeInterface $expireAt = null,
        public readonly ?Unique $unique = null,
        public readonly ?string $fairnessKey = null,
        public readonly ?string $concurrencyKey = null,
        public readonly int|float|\DateInterval|null $resultRetention = null,
        public readonly array $onComplete = [],
        public readonly array $onFailed = [],
    ) {
        if ($delay !== null && $runAt !== null) {
            throw new \ValueError('delay and runAt exclude each other');
        }
    }

    /**
     * Returns what is asked for: $job is a kind, the name of a job class, or a job or request.
     *
     * @param mixed ...$options options of the constructor by name, over those of the job
     */
    public static function of(string|Job|self $job, mixed $data = null, mixed ...$options): self
    {
        if ($job instanceof self) {
            $request = $data === null ? $job : $job->with(data: $data);
        } elseif ($job instanceof Job) {
            $request = $job->request($data);
        } elseif (is_subclass_of($job, Job::class)) {
            $request = (new $job())->request($data);
        } else {
            // The producer need not have the class.
            $request = new self(str_replace('\\', '.', ltrim($job, '\\')), $data);
        }
        return $options === [] ? $request : $request->with(...$options);
    }

    /** Returns a copy with these options, by the names of the constructor; headers, labels, retry and follow-ups merge. */
    public function with(mixed ...$options): self
    {
        $options = array_filter($options, static fn (mixed $value): bool => $value !== null);
        foreach (['headers', 'labels'] as $name) {
            if (isset($options[$name])) {
                $options[$name] = [...$this->$name, ...$options[$name]];
            }
        }
        foreach (['onComplete', 'onFailed'] as $name) {
            if (isset($options[$name])) {
                $options[$name] = [...$this->$name, ...$options[$name]];
            }
        }
        if (isset($options['retry'])) {
            $options['retry'] = $options['retry']->over($this->retry);
        }
        if (isset($options['delay']) || isset($options['runAt'])) {
            $options += ['delay' => null, 'runAt' => null];
        }
        return new self(...[...get_object_vars($this), ...$options]);
    }

    /** Sends it to this queue. */
    public function onQueue(string $queue): self
    {
        return $this->with(queue: $queue);
    }

    /** Retries it up to $count times after its first run. */
    public function retries(int $count): self
    {
        return $this->with(retry: new RetryPolicy(maxRetries: $count));
    }

    /** Waits this long before the first retry; later waits grow. */
    public function retryAfter(int|float|\DateInterval $backoff): self
    {
        return $this->with(retry: new RetryPolicy(initialBackoff: $backoff));
    }

    /** Bounds the run of one attempt. */
    public function timeout(int|float|\DateInterval $runTimeout): self
    {
        return $this->with(runTimeout: $runTimeout);
    }

    /** Starts it this long after it was stored. */
    public function delay(int|float|\DateInterval $delay): self
    {
        return $this->with(delay: $delay);
    }

    /** Starts it at this time. */
    public function at(\DateTimeInterface $runAt): self
    {
        return $this->with(runAt: $runAt);
    }

    /** Puts it before jobs of a lower priority; 1 to 9. */
    public function priority(int $priority): self
    {
        return $this->with(priority: $priority);
    }

    /** Ends it as EXPIRED if it still waits then. */
    public function expiresAt(\DateTimeInterface $expireAt): self
    {
        return $this->with(expireAt: $expireAt);
    }

    /** Keeps its result this long, at most as long as the queue keeps the job. */
    public function keepResult(int|float|\DateInterval $resultRetention): self
    {
        return $this->with(resultRetention: $resultRetention);
    }

    /** Lets at most one job of this key be in its queue; see Unique. */
    public function unique(
        string $key,
        UniqueScope $scope = UniqueScope::UntilDone,
        int|float|\DateInterval|null $window = null,
        OnConflict $onConflict = OnConflict::Reject,
    ): self {
        return $this->with(unique: new Unique($key, $scope, $window, $onConflict));
    }

    /** Adds a label, to find it by. */
    public function label(string $key, string $value): self
    {
        return $this->with(labels: [$key => $value]);
    }

    /** Adds a header, to tell its handler. */
    public function header(string $key, string $value): self
    {
        return $this->with(headers: [$key => $value]);
    }

    /** Stores these jobs as well, in the transaction that completes it. */
    public function onComplete(self|string ...$jobs): self
    {
        return $this->with(onComplete: array_values($jobs));
    }

    /** Stores these jobs as well, in the transaction in which it fails for good. */
    public function onFailed(self|string ...$jobs): self
    {
        return $this->with(onFailed: array_values($jobs));
    }

    /** Lets it take from this key's share of a fair queue. */
    public function fairnessKey(string $key): self
    {
        return $this->with(fairnessKey: $key);
    }

    /** Runs no more jobs of this key at once than the queue's `per_key_limit`: one, unless it says otherwise. */
    public function concurrencyKey(string $key): self
    {
        return $this->with(concurrencyKey: $key);
    }

    /** Chooses its id, a UUIDv7; dispatching the same id again never runs it twice. */
    public function withId(string $jobId): self
    {
        return $this->with(jobId: $jobId);
    }
}
