<?php

declare(strict_types=1);

namespace ProtoJobs;

use Google\Protobuf\Duration;
use Google\Protobuf\Timestamp;

/**
 * Between seconds, PHP's times and the messages of protobuf, to the microsecond.
 *
 * @internal
 */
final class Times
{
    /** Makes a Duration of seconds or an interval; null passes. */
    public static function duration(int|float|\DateInterval|null $span): ?Duration
    {
        if ($span === null) {
            return null;
        }
        $seconds = self::inSeconds($span);
        $whole = (int) floor($seconds);
        $micros = (int) round(($seconds - $whole) * 1e6);
        if ($micros === 1_000_000) {
            [$whole, $micros] = [$whole + 1, 0];
        }
        return (new Duration())->setSeconds($whole)->setNanos($micros * 1000);
    }

    /** Returns the seconds of an interval; years and months count from now. */
    public static function inSeconds(int|float|\DateInterval $span): float
    {
        if (!$span instanceof \DateInterval) {
            return (float) $span;
        }
        $now = new \DateTimeImmutable('@0');
        $then = $now->add($span);
        return (float) $then->format('U.u');
    }

    /** Reads a Duration in seconds; null passes. */
    public static function seconds(?Duration $span): ?float
    {
        return $span === null ? null : (int) $span->getSeconds() + $span->getNanos() / 1e9;
    }

    /** Makes a Timestamp; null passes. */
    public static function timestamp(?\DateTimeInterface $at): ?Timestamp
    {
        if ($at === null) {
            return null;
        }
        return (new Timestamp())->setSeconds($at->getTimestamp())->setNanos(1000 * (int) $at->format('u'));
    }

    /** Reads a Timestamp, in UTC; null passes. */
    public static function time(?Timestamp $at): ?\DateTimeImmutable
    {
        if ($at === null) {
            return null;
        }
        $text = sprintf('%d.%06d', $at->getSeconds(), intdiv($at->getNanos(), 1000));
        $time = \DateTimeImmutable::createFromFormat('U.u', $text, new \DateTimeZone('UTC'));
        return $time === false ? null : $time;
    }

    /** The monotonic clock, in seconds. */
    public static function monotonic(): float
    {
        return hrtime(true) / 1e9;
    }
}
