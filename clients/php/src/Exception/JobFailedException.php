<?php

declare(strict_types=1);

namespace ProtoJobs\Exception;

/** The job failed for good. */
class JobFailedException extends JobEndedException
{
}
