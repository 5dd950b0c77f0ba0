<?php

declare(strict_types=1);

namespace ProtoJobs\Worker;

/** Fails this attempt; the job runs again after this wait instead of the policy's backoff. */
final class Retry extends Verdict
{
    /** @param float|null $after seconds, 0 to 365 days; null: the policy's backoff */
    public function __construct(public readonly ?float $after = null, string $reason = 'retry requested')
    {
        if ($after !== null && $after < 0) {
            throw new \ValueError('a wait is at least 0 s');
        }
        parent::__construct($reason);
    }
}
