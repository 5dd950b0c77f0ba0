<?php

declare(strict_types=1);

namespace ProtoJobs\Exception;

/** A strict queue refuses an outcome that came after the lease's deadline. */
class LeaseExpiredException extends FailedPreconditionException
{
}
