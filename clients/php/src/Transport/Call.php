<?php

declare(strict_types=1);

namespace ProtoJobs\Transport;

/** One call: which method, what is sent, and how long it may take. */
final class Call
{
    /**
     * @param string $method path of the method, "/package.Service/Method"
     * @param string $request the serialised request
     * @param float|null $timeout seconds until the deadline; null: none
     * @param array<string, string> $metadata more request metadata, by lower-case name
     * @param float|null $silence a stream that brings nothing for so many seconds is given up as UNAVAILABLE
     * @param (\Closure(): bool)|null $isWanted asked about twice a second; false gives the call up as CANCELLED
     */
    public function __construct(
        public readonly string $method,
        public readonly string $request,
        public readonly ?float $timeout = null,
        public readonly array $metadata = [],
        public readonly ?float $silence = null,
        public readonly ?\Closure $isWanted = null,
    ) {
    }
}
