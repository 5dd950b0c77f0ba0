<?php

declare(strict_types=1);

namespace ProtoJobs\Payload;

/** What bytes are for. */
enum PayloadUse: string
{
    case Payload = 'payload';
    case Result = 'result';
    case Checkpoint = 'checkpoint';
}
