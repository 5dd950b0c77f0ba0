<?php

declare(strict_types=1);

namespace ProtoJobs;

use ProtoJobs\Exception\ProtoJobsException;

/** Decides whether and when a failed call is made again: when the server says, else exponentially with full jitter, 0.1 to 5 s. */
final class Backoff
{
    private const INITIAL = 0.1;
    private const LONGEST = 5.0;

    private float $ceiling = self::INITIAL;

    /** Returns the wait in seconds; null: no retry can help. */
    public function after(ProtoJobsException $error): ?float
    {
        if (!$error->isRetryable()) {
            return null;
        }
        return $error->retryAfter() ?? $this->next();
    }

    /** Returns the next wait in seconds. */
    public function next(): float
    {
        $wait = self::uniform(0.0, $this->ceiling);
        $this->ceiling = min($this->ceiling * 2, self::LONGEST);
        return $wait;
    }

    /** Begins anew: something has succeeded. */
    public function reset(): void
    {
        $this->ceiling = self::INITIAL;
    }

    /** Returns a number between both, uniformly. */
    public static function uniform(float $least, float $most): float
    {
        return $least + ($most - $least) * random_int(0, PHP_INT_MAX) / PHP_INT_MAX;
    }
}
