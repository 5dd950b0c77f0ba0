<?php

declare(strict_types=1);

namespace ProtoJobs\Payload;

use ProtoJobs\Exception\UndecodableException;

/**
 * Changes payloads, results and checkpoints on their way to the server and back, for example to encrypt them.
 *
 * The same input gives the same output, or a repeated dispatch of one id would look like another job. Results and
 * checkpoints have no stored media type: they reach `decode` as `application/json`.
 */
interface Codec
{
    /** Returns what the server stores. */
    public function encode(Payload $payload, PayloadContext $context): Payload;

    /**
     * Undoes `encode`; what it has not made passes unchanged. Errors never hold any of the bytes.
     *
     * @throws UndecodableException
     */
    public function decode(Payload $payload, PayloadContext $context): Payload;
}
