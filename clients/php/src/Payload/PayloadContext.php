<?php

declare(strict_types=1);

namespace ProtoJobs\Payload;

/** Whose bytes they are, so that a codec may bind them to it. `jobId` is empty for the payload of a schedule. */
final class PayloadContext
{
    /** Takes what sender and receiver both know of the job. */
    public function __construct(
        public readonly string $kind,
        public readonly string $queue,
        public readonly PayloadUse $use = PayloadUse::Payload,
        public readonly string $jobId = '',
    ) {
    }
}
