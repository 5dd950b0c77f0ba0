<?php

declare(strict_types=1);

namespace ProtoJobs\Exception;

/** The job expired while it waited. */
class JobExpiredException extends JobEndedException
{
}
