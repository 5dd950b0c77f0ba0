<?php

declare(strict_types=1);

namespace ProtoJobs\Exception;

/** The change is based on an older state; read again. */
class ConflictException extends FailedPreconditionException
{
}
