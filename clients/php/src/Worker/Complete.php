<?php

declare(strict_types=1);

namespace ProtoJobs\Worker;

use ProtoJobs\JobRequest;

/** Ends the job as COMPLETED, with a result, and with jobs that are stored in the same transaction: all of it or nothing. */
final class Complete extends Verdict
{
    /**
     * @param mixed $result as a handler returns it
     * @param list<JobRequest|string> $dispatch at most 1000 jobs, together with those of JobContext::dispatch
     */
    public function __construct(public readonly mixed $result = null, public readonly array $dispatch = [])
    {
        parent::__construct('completed');
    }
}
