<?php

declare(strict_types=1);

namespace ProtoJobs\Worker;

/** Why a handler is asked to stop. */
enum StopReason: string
{
    case Cancelled = 'cancelled';
    case Timeout = 'timeout';
    case LeaseLost = 'lease_lost';
    case Shutdown = 'shutdown';
}
