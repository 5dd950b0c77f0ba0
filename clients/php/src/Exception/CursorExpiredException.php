<?php

declare(strict_types=1);

namespace ProtoJobs\Exception;

/** The event cursor is older than what is kept. */
class CursorExpiredException extends OutOfRangeException
{
}
