<?php

declare(strict_types=1);

namespace ProtoJobs\Exception;

/** The unique key is taken. */
class DuplicateJobException extends AlreadyExistsException
{
    /** Id of the job that has the key. */
    public function jobId(): string
    {
        return $this->metadata()['job_id'] ?? '';
    }
}
