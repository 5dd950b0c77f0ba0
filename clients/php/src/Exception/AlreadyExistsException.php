<?php

declare(strict_types=1);

namespace ProtoJobs\Exception;

/** What the request wants to make exists; nothing is stored. */
class AlreadyExistsException extends ProtoJobsException
{
}
