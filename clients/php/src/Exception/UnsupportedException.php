<?php

declare(strict_types=1);

namespace ProtoJobs\Exception;

/** The server has no such method. */
class UnsupportedException extends ProtoJobsException
{
}
