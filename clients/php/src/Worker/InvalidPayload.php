<?php

declare(strict_types=1);

namespace ProtoJobs\Worker;

/** The payload is not what the handler expects; no retry can help. */
final class InvalidPayload extends \RuntimeException
{
}
