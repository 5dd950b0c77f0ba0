<?php

declare(strict_types=1);

namespace ProtoJobs\Exception;

/** The job is final. */
class JobFinalException extends FailedPreconditionException
{
}
