<?php

declare(strict_types=1);

namespace ProtoJobs\Worker;

/**
 * What a worker is about.
 *
 * @internal
 */
enum Phase
{
    case Working;
    /** Takes no more jobs. */
    case Quiet;
    /** Finishes, then ends. */
    case Leaving;
}
