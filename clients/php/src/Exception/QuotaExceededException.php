<?php

declare(strict_types=1);

namespace ProtoJobs\Exception;

/** A quota or a cap (queues, kinds, labels). */
class QuotaExceededException extends ResourceExhaustedException
{
}
