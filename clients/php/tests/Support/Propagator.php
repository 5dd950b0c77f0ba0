<?php

declare(strict_types=1);

namespace ProtoJobs\Tests\Support;

/** Stands for the propagator of open-telemetry/api, by its methods that are used. */
final class Propagator
{
    public static function getInstance(): self
    {
        return new self();
    }

    /** @param array<string, string> $carrier */
    public function inject(array &$carrier): void
    {
        $carrier['traceparent'] = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
    }
}
