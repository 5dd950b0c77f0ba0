<?php

declare(strict_types=1);

namespace ProtoJobs\Interop;

/** The payload of kind typed. */
final class Typed
{
    public function __construct(public readonly int $n)
    {
    }
}
