<?php

declare(strict_types=1);

namespace ProtoJobs\Payload;

/** Encodes by its codecs in order, and decodes in reverse order. Compress before you encrypt: ciphertext does not shrink. */
final class Chain implements Codec
{
    /** @var list<Codec> */
    private readonly array $codecs;

    /** Takes any number of codecs, in the order in which they encode. */
    public function __construct(Codec ...$codecs)
    {
        $this->codecs = array_values($codecs);
    }

    public function encode(Payload $payload, PayloadContext $context): Payload
    {
        foreach ($this->codecs as $codec) {
            $payload = $codec->encode($payload, $context);
        }
        return $payload;
    }

    public function decode(Payload $payload, PayloadContext $context): Payload
    {
        foreach (array_reverse($this->codecs) as $codec) {
            $payload = $codec->decode($payload, $context);
        }
        return $payload;
    }
}
