<?php

declare(strict_types=1);

namespace ProtoJobs\Tests;

use PHPUnit\Framework\TestCase;
use ProtoJobs\Tests\Support\Propagator;
use ProtoJobs\Trace;

final class TraceTest extends TestCase
{
    public function testThereAreNoHeadersWithoutOpenTelemetry(): void
    {
        self::assertSame([], Trace::headers());
    }

    /** @runInSeparateProcess */
    public function testTheCurrentContextTravelsInHeaders(): void
    {
        class_alias(Propagator::class, 'OpenTelemetry\\API\\Trace\\Propagation\\TraceContextPropagator');

        self::assertSame(['traceparent' => '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'], Trace::headers());
    }
}
