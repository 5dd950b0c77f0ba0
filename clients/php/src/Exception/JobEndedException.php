<?php

declare(strict_types=1);

namespace ProtoJobs\Exception;

use ProtoJobs\JobInfo;

/** The job has no result because of how it ended. */
class JobEndedException extends ProtoJobsException
{
    private JobInfo $job;

    /** Tells how this job ended. */
    public static function of(JobInfo $job): static
    {
        $why = $job->lastError?->message ?: $job->reason;
        $error = new static("job {$job->id} is {$job->state->value}" . ($why === '' ? '' : ": $why"), reason: $job->reason);
        $error->job = $job;
        return $error;
    }

    /** The job as it ended. */
    public function job(): JobInfo
    {
        return $this->job;
    }
}
