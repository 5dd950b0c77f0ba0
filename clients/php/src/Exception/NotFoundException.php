<?php

declare(strict_types=1);

namespace ProtoJobs\Exception;

/** What the request names does not exist. */
class NotFoundException extends ProtoJobsException
{
}
