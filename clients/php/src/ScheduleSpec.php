<?php

declare(strict_types=1);

namespace ProtoJobs;

use Protojobs\V1\Daily;
use Protojobs\V1\Every;
use Protojobs\V1\ScheduleSpec as Message;
use Protojobs\V1\Weekly;

/**
 * When a schedule ticks: at a fixed distance, by cron, or at times of days.
 *
 * Local times are those of the time zone of the schedule. One that a change of the clocks skips runs at the change, one that
 * comes twice runs once.
 */
final class ScheduleSpec
{
    private function __construct(private readonly \Closure $apply)
    {
    }

    /** Ticks at anchor + n x interval in elapsed time, 1 s to 365 days; without an anchor from when it was made. */
    public static function every(int|float|\DateInterval $interval, ?\DateTimeInterface $anchor = null): self
    {
        $every = (new Every())->setInterval(Times::duration($interval))->setAnchor(Times::timestamp($anchor));
        return new self(static fn (Message $spec): Message => $spec->setEvery($every));
    }

    /** Ticks where five fields match the clock, or by @hourly, @daily, @weekly, @monthly. */
    public static function cron(string $expression): self
    {
        return new self(static fn (Message $spec): Message => $spec->setCron($expression));
    }

    /** Ticks each day at local times "HH:MM" or "HH:MM:SS". */
    public static function daily(string ...$times): self
    {
        $daily = (new Daily())->setTimes(array_values($times));
        return new self(static fn (Message $spec): Message => $spec->setDaily($daily));
    }

    /**
     * Ticks on some days of the week at local times.
     *
     * @param list<Weekday> $days
     * @param list<string> $times
     */
    public static function weekly(array $days, array $times): self
    {
        $numbers = array_map(static fn (Weekday $day): int => $day->value, $days);
        $weekly = (new Weekly())->setDays($numbers)->setTimes($times);
        return new self(static fn (Message $spec): Message => $spec->setWeekly($weekly));
    }

    /** Makes the message. @internal */
    public function toMessage(string $timeZone): Message
    {
        return ($this->apply)((new Message())->setTimeZone($timeZone));
    }
}
