<?php

declare(strict_types=1);

namespace ProtoJobs\Exception;

/** No valid credentials. */
class UnauthenticatedException extends ProtoJobsException
{
}
