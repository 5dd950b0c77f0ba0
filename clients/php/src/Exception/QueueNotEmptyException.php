<?php

declare(strict_types=1);

namespace ProtoJobs\Exception;

/** The queue has jobs; use force. */
class QueueNotEmptyException extends FailedPreconditionException
{
}
