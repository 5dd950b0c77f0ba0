<?php

declare(strict_types=1);

namespace ProtoJobs\Worker;

/** The handler is asked to stop; let it pass through. It is thrown once, wherever the handler is. */
final class JobStopped extends \Exception
{
    /** The reason tells whether the job goes on elsewhere. */
    public function __construct(public readonly StopReason $reason)
    {
        parent::__construct("the job is asked to stop: {$reason->value}");
    }
}
