<?php

declare(strict_types=1);

namespace ProtoJobs\Exception;

/** The job is not final. */
class JobNotFinalException extends FailedPreconditionException
{
}
