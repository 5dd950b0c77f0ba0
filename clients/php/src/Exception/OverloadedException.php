<?php

declare(strict_types=1);

namespace ProtoJobs\Exception;

/** Too much at once. */
class OverloadedException extends ResourceExhaustedException
{
}
