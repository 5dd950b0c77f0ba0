<?php

declare(strict_types=1);

namespace ProtoJobs;

use Protojobs\V1\Schedule as Message;
use Protojobs\V1\ScheduleSpec as SpecMessage;

/** A stored schedule. `when` says it in words; nextAt null: it ticks no more. Times are UTC. */
final class ScheduleInfo
{
    /** @param float|null $interval seconds, of schedules with a fixed distance */
    public function __construct(
        public readonly string $name,
        public readonly string $when,
        public readonly ?float $interval,
        public readonly string $timeZone,
        public readonly string $kind,
        public readonly string $queue,
        public readonly string $payload,
        public readonly bool $paused,
        public readonly string $etag,
        public readonly ?\DateTimeImmutable $nextAt,
        public readonly ?\DateTimeImmutable $lastAt,
        public readonly ?string $lastJobId,
    ) {
    }

    /** Reads the message. @internal */
    public static function ofMessage(Message $schedule): self
    {
        $spec = $schedule->getSpec() ?? new SpecMessage();
        $job = $schedule->getJob();
        $interval = Times::seconds($spec->getEvery()?->getInterval());
        $times = static fn (iterable $times): string => implode(', ', iterator_to_array($times));
        $days = static fn (iterable $days): string => implode(', ', array_map(
            static fn (int $day): string => Weekday::from($day)->name,
            iterator_to_array($days),
        ));
        return new self(
            $schedule->getName(),
            match ($spec->getWhen()) {
                'every' => "every $interval s",
                'cron' => $spec->getCron(),
                'daily' => 'daily at ' . $times($spec->getDaily()->getTimes()),
                'weekly' => $days($spec->getWeekly()->getDays()) . ' at ' . $times($spec->getWeekly()->getTimes()),
                default => '',
            },
            $interval,
            $spec->getTimeZone(),
            (string) $job?->getKind(),
            (string) $job?->getQueue(),
            (string) $job?->getPayload(),
            $schedule->getPaused(),
            $schedule->getEtag(),
            Times::time($schedule->getNextTime()),
            Times::time($schedule->getLastTime()),
            $schedule->getLastJobId() ?: null,
        );
    }
}
