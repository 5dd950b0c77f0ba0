<?php

declare(strict_types=1);

namespace ProtoJobs\Exception;

/** The attempt is not leased by this session (any more). Never retried. */
class LeaseSupersededException extends FailedPreconditionException
{
}
