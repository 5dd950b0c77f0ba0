<?php

declare(strict_types=1);

namespace ProtoJobs\Exception;

/** The state does not allow it. */
class FailedPreconditionException extends ProtoJobsException
{
}
