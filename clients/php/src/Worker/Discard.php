<?php

declare(strict_types=1);

namespace ProtoJobs\Worker;

/** Ends the job as FAILED at once, whatever retries are left. */
final class Discard extends Verdict
{
    /** The reason says to people why. */
    public function __construct(string $reason = 'discarded by its handler')
    {
        parent::__construct($reason);
    }
}
