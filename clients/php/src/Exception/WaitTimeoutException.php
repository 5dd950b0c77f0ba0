<?php

declare(strict_types=1);

namespace ProtoJobs\Exception;

/** The job was not final when the wait was over. It goes on. */
class WaitTimeoutException extends ProtoJobsException
{
}
