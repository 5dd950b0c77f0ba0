<?php

declare(strict_types=1);

namespace ProtoJobs\Exception;

/** A position lies outside of what exists. */
class OutOfRangeException extends ProtoJobsException
{
}
