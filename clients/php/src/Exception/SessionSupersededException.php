<?php

declare(strict_types=1);

namespace ProtoJobs\Exception;

/** A newer call of the session exists. */
class SessionSupersededException extends FailedPreconditionException
{
}
