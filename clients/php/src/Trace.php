<?php

declare(strict_types=1);

namespace ProtoJobs;

/**
 * The trace that this code runs in, where the OpenTelemetry API (open-telemetry/api) is installed.
 *
 * @internal
 */
final class Trace
{
    private const PROPAGATOR = 'OpenTelemetry\\API\\Trace\\Propagation\\TraceContextPropagator';

    /** @return array<string, string> traceparent and tracestate of the current context; empty without one */
    public static function headers(): array
    {
        if (!class_exists(self::PROPAGATOR)) {
            return [];
        }
        $carrier = [];
        (self::PROPAGATOR)::getInstance()->inject($carrier);
        return $carrier;
    }
}
