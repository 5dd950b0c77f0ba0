<?php

declare(strict_types=1);

namespace ProtoJobs\Exception;

/** The operation as a whole was given up; nothing is stored. */
class AbortedException extends ProtoJobsException
{
}
