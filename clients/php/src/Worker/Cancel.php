<?php

declare(strict_types=1);

namespace ProtoJobs\Worker;

/** Ends the job as CANCELLED. The reason is for the worker's log; the wire has no place for it. */
final class Cancel extends Verdict
{
    /** The reason says to people why. */
    public function __construct(string $reason = 'cancelled by its handler')
    {
        parent::__construct($reason);
    }
}
