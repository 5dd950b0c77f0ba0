<?php

declare(strict_types=1);

namespace ProtoJobs\Exception;

/** The job is running. */
class JobRunningException extends FailedPreconditionException
{
}
