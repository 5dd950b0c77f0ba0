<?php

declare(strict_types=1);

namespace ProtoJobs\Payload;

/** Leaves payloads as they are. */
final class PlainCodec implements Codec
{
    public function encode(Payload $payload, PayloadContext $context): Payload
    {
        return $payload;
    }

    public function decode(Payload $payload, PayloadContext $context): Payload
    {
        return $payload;
    }
}
