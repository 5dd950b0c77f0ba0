<?php

declare(strict_types=1);

namespace ProtoJobs\Payload;

use ProtoJobs\Exception\UndecodableException;

/** Bytes and their media type. Returned by a handler, they are the result as they are. */
final class Payload
{
    /** Media type of what `encode` makes of data. */
    public const JSON = 'application/json';
    /** Media type of what a codec has made: see docs/protocol.md, Envelopes. */
    public const ENVELOPE = 'application/vnd.protojobs.envelope';

    /** Takes bytes as they are. */
    public function __construct(
        public readonly string $data,
        public readonly string $contentType = self::JSON,
    ) {
    }

    /**
     * Turns data into bytes: JSON, or the bytes as they are where it is a Payload already.
     *
     * @throws \ValueError for data that is not JSON
     */
    public static function encode(mixed $data): self
    {
        if ($data instanceof self) {
            return $data;
        }
        $flags = JSON_THROW_ON_ERROR | JSON_UNESCAPED_UNICODE | JSON_UNESCAPED_SLASHES | JSON_PRESERVE_ZERO_FRACTION;
        try {
            return new self(json_encode($data, $flags));
        } catch (\JsonException $error) {
            throw new \ValueError("the data is not JSON: {$error->getMessage()}", previous: $error);
        }
    }

    /**
     * Turns the bytes into data: JSON is parsed into arrays (no bytes are null), anything else stays bytes.
     *
     * @throws \ValueError for bytes that are not what the media type says
     * @throws UndecodableException for bytes of a codec that is not here
     */
    public function decode(): mixed
    {
        if ($this->contentType === self::ENVELOPE || Envelope::isOne($this)) {
            throw UndecodableException::because('NO_CODEC', 'a codec made these bytes, and none here reads them');
        }
        $type = strtolower(trim(explode(';', $this->contentType)[0]));
        if ($type !== self::JSON && $type !== '' && !str_ends_with($type, '+json')) {
            return $this->data;
        }
        try {
            return $this->data === '' ? null : json_decode($this->data, true, flags: JSON_THROW_ON_ERROR);
        } catch (\JsonException $error) {
            throw new \ValueError("the payload is not JSON: {$error->getMessage()}", previous: $error);
        }
    }
}
