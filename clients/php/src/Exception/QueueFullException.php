<?php

declare(strict_types=1);

namespace ProtoJobs\Exception;

/** The queue is at max_depth. */
class QueueFullException extends ResourceExhaustedException
{
}
