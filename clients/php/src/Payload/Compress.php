<?php

declare(strict_types=1);

namespace ProtoJobs\Payload;

use ProtoJobs\Exception\UndecodableException;

/** Compresses what gets smaller by it, by zlib or gzip; reads both. Needs the zlib extension. */
final class Compress implements Codec
{
    private readonly int $method;

    /**
     * @param string $method zlib or gzip
     * @param int $level 1 to 9
     * @param int $minBytes payloads below stay as they are
     * @param int $maxBytes what decoding may unpack, so that no small payload fills the memory
     */
    public function __construct(
        string $method = 'zlib',
        private readonly int $level = 6,
        private readonly int $minBytes = 1024,
        private readonly int $maxBytes = 64 * 1024 * 1024,
    ) {
        if ($level < 1 || $level > 9) {
            throw new \ValueError('level is 1 to 9');
        }
        $this->method = match ($method) {
            'zlib' => Envelope::ZLIB,
            'gzip' => Envelope::GZIP,
            default => throw new \ValueError('method is zlib or gzip'),
        };
    }

    public function encode(Payload $payload, PayloadContext $context): Payload
    {
        if (strlen($payload->data) < $this->minBytes) {
            return $payload;
        }
        $content = Envelope::pack($payload);
        $encoding = $this->method === Envelope::ZLIB ? ZLIB_ENCODING_DEFLATE : ZLIB_ENCODING_GZIP;
        $envelope = Envelope::prefix($this->method) . zlib_encode($content, $encoding, $this->level);
        return strlen($envelope) < strlen($payload->data) ? new Payload($envelope, Payload::ENVELOPE) : $payload;
    }

    public function decode(Payload $payload, PayloadContext $context): Payload
    {
        $method = Envelope::method($payload);
        if ($method !== Envelope::ZLIB && $method !== Envelope::GZIP) {
            return $payload;
        }
        return Envelope::unpack($this->inflated(
            Envelope::body($payload),
            $method === Envelope::ZLIB ? ZLIB_ENCODING_DEFLATE : ZLIB_ENCODING_GZIP,
        ));
    }

    private function inflated(string $body, int $encoding): string
    {
        $inflating = inflate_init($encoding);
        $content = '';
        // Piece by piece: a small body may unpack to more than fits.
        foreach (str_split($body, 8192) as $piece) {
            $part = @inflate_add($inflating, $piece);
            if ($part === false) {
                throw Envelope::corrupt();
            }
            $content .= $part;
            if (strlen($content) > $this->maxBytes) {
                throw UndecodableException::because('TOO_LARGE', "the payload unpacks to more than {$this->maxBytes} bytes");
            }
        }
        if (inflate_get_status($inflating) !== ZLIB_STREAM_END || inflate_get_read_len($inflating) !== strlen($body)) {
            throw Envelope::corrupt();
        }
        return $content;
    }
}
