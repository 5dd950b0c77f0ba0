<?php

declare(strict_types=1);

namespace ProtoJobs\Exception;

/** The credentials do not cover this. */
class PermissionDeniedException extends ProtoJobsException
{
}
