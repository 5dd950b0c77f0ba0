<?php

declare(strict_types=1);

namespace ProtoJobs\Exception;

/** The job was cancelled. */
class JobCancelledException extends JobEndedException
{
}
