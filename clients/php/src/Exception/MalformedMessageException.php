<?php

declare(strict_types=1);

namespace ProtoJobs\Exception;

/** The bytes are not a message of this type. */
class MalformedMessageException extends InvalidArgumentException
{
}
