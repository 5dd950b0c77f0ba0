<?php

declare(strict_types=1);

namespace ProtoJobs\Payload;

use ProtoJobs\Exception\UndecodableException;

/**
 * The envelope around bytes that a codec has made. docs/protocol.md is its definition.
 *
 * @internal
 */
final class Envelope
{
    public const ZLIB = 1;
    public const GZIP = 2;
    public const AES_256_GCM = 3;

    private const MAGIC = "\xf5PJ\x01";
    private const PREFIX_BYTES = 5;

    /** Puts media type and data together. */
    public static function pack(Payload $payload): string
    {
        if (strlen($payload->contentType) > 255) {
            throw new \ValueError('a media type has at most 128 bytes');
        }
        return chr(strlen($payload->contentType)) . $payload->contentType . $payload->data;
    }

    /** Undoes `pack`. */
    public static function unpack(string $content): Payload
    {
        $length = $content === '' ? 0 : ord($content[0]);
        if ($content === '' || strlen($content) < 1 + $length) {
            throw self::corrupt();
        }
        $type = substr($content, 1, $length);
        if (preg_match('//u', $type) !== 1) {
            throw self::corrupt();
        }
        return new Payload(substr($content, 1 + $length), $type);
    }

    /** Returns how an envelope of this method begins. */
    public static function prefix(int $method): string
    {
        return self::MAGIC . chr($method);
    }

    /** The bytes begin as an envelope and may be one. */
    public static function isOne(Payload $payload): bool
    {
        return strlen($payload->data) >= self::PREFIX_BYTES
            && str_starts_with($payload->data, self::MAGIC)
            && in_array($payload->contentType, [Payload::ENVELOPE, Payload::JSON, ''], true);
    }

    /** Returns the method of an envelope; null for everything else. */
    public static function method(Payload $payload): ?int
    {
        if (self::isOne($payload)) {
            return ord($payload->data[self::PREFIX_BYTES - 1]);
        }
        if ($payload->contentType === Payload::ENVELOPE) {
            throw self::corrupt();
        }
        return null;
    }

    /** Returns what follows the method. */
    public static function body(Payload $payload): string
    {
        return substr($payload->data, self::PREFIX_BYTES);
    }

    /** Returns the error of bytes that break the layout. */
    public static function corrupt(): UndecodableException
    {
        return UndecodableException::because('CORRUPT', 'the envelope is damaged');
    }
}
