<?php

declare(strict_types=1);

namespace ProtoJobs\Worker;

/** Runs the job again later; this attempt counts neither as a failure nor as a crash. */
final class Snooze extends Verdict
{
    /** @param float $delay seconds, 0 to 365 days */
    public function __construct(public readonly float $delay)
    {
        if ($delay < 0) {
            throw new \ValueError('a wait is at least 0 s');
        }
        parent::__construct('snoozed');
    }
}
