<?php

declare(strict_types=1);

namespace ProtoJobs\Exception;

/** The driver or this version lacks the feature. */
class DriverUnsupportedException extends UnsupportedException
{
}
