<?php

declare(strict_types=1);

namespace ProtoJobs\Worker;

/** Why a worker ended. */
enum ExitReason: string
{
    /** SIGTERM, SIGINT or stop(): everything was finished or given back. */
    case Signal = 'signal';
    /** An operator drained it. */
    case Drained = 'drained';
    /** untilEmpty. */
    case Empty = 'empty';
    case MaxJobs = 'max_jobs';
    case MaxLifetime = 'max_lifetime';
    case MaxMemory = 'max_memory';
    /** A second signal: running handlers were ended and given back. */
    case Killed = 'killed';
    /** The server refuses this configuration or these credentials; see the log. */
    case Refused = 'refused';

    /** The exit code of its process. */
    public function code(): int
    {
        return match ($this) {
            self::Killed => 130,
            self::Refused => 78,
            default => 0,
        };
    }
}
