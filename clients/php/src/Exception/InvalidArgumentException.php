<?php

declare(strict_types=1);

namespace ProtoJobs\Exception;

/** A field is malformed or out of bounds; nothing is stored. See `violations()`. */
class InvalidArgumentException extends ProtoJobsException
{
}
