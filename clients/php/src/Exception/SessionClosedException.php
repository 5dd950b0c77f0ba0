<?php

declare(strict_types=1);

namespace ProtoJobs\Exception;

/** The session has expired or was closed; start a new one. */
class SessionClosedException extends FailedPreconditionException
{
}
