<?php

declare(strict_types=1);

namespace ProtoJobs\Exception;

/** Another item of an atomic batch was refused. */
class BatchAbortedException extends AbortedException
{
}
