<?php

declare(strict_types=1);

namespace ProtoJobs\Tests;

use PHPUnit\Framework\TestCase;
use ProtoJobs\JobEvent;
use ProtoJobs\Jobs;
use ProtoJobs\JobState;
use ProtoJobs\ScheduledJob;
use ProtoJobs\Tests\Support\DevServer;
use ProtoJobs\Tests\Support\SampleJob;

/** The calls by one name, against a real server. */
final class JobsTest extends TestCase
{
    private string $queue;

    protected function setUp(): void
    {
        Jobs::reset();
        Jobs::configure(['address' => DevServer::shared()->address()]);
        $this->queue = 'jobs-' . bin2hex(random_bytes(6));
    }

    protected function tearDown(): void
    {
        Jobs::reset();
        date_default_timezone_set('UTC');
    }

    public function testADispatchReturnsTheIdAndStoresWhatTheClassSays(): void
    {
        $id = Jobs::dispatch((new SampleJob())->onQueue($this->queue)->retries(5), ['a' => 1]);

        $job = Jobs::client()->get($id, full: true);
        self::assertSame(['ProtoJobs.Tests.Support.SampleJob', $this->queue], [$job->kind, $job->queue]);
        self::assertSame([4, 7.0, 20.0], [$job->retry->maxRetries, $job->retry->initialBackoff, $job->runTimeout]);
        self::assertSame('{"a":1}', $job->payload);
    }

    public function testADelayWaits(): void
    {
        $id = Jobs::dispatchLater(300, SampleJob::class, null, $this->queue);

        $job = Jobs::client()->get($id);
        self::assertSame(JobState::Scheduled, $job->state);
        self::assertEqualsWithDelta(time() + 300, $job->nextAt?->getTimestamp(), 30);
    }

    public function testScheduleAtTakesWhatStrtotimeTakesInTheLocalZone(): void
    {
        date_default_timezone_set('Europe/Prague');

        $scheduled = Jobs::scheduleAt(SampleJob::class, '2035-07-01 09:30', null, $this->queue);
        $number = Jobs::scheduleAt(SampleJob::class, '2000000000', null, $this->queue);

        $at = Jobs::client()->get((string) $scheduled->getJobId())->nextAt;
        self::assertSame('2035-07-01T07:30:00', $at?->format('Y-m-d\TH:i:s'));
        self::assertSame(2_000_000_000, $number->getNextRun());
        self::assertFalse($scheduled->isRecurring());
        $this->expectException(\ValueError::class);
        Jobs::scheduleAt(SampleJob::class, 'no time at all');
    }

    public function testADailyScheduleIsInTheLocalZoneAndDeclaredTwiceItIsOne(): void
    {
        date_default_timezone_set('Europe/Prague');

        $one = Jobs::scheduleDaily(SampleJob::class, ['q' => $this->queue], $this->queue, '02:00');
        $two = Jobs::scheduleDaily(SampleJob::class, ['q' => $this->queue], $this->queue, '02:00');

        $schedule = Jobs::client()->getSchedule((string) $one->getName());
        self::assertSame($one->getName(), $two->getName());
        self::assertSame(['daily at 02:00:00', 'Europe/Prague'], [$schedule->when, $schedule->timeZone]);
        self::assertSame([SampleJob::class, $this->queue], [$one->getJob(), $one->getQueue()]);
        self::assertSame(['q' => $this->queue], $one->getData());
    }

    public function testWeeklyTakesSundayForZeroAndIntervalsAreInSeconds(): void
    {
        $sunday = Jobs::weekly(SampleJob::class, [1, $this->queue], $this->queue, 0, '09:00');
        $five = Jobs::everyFiveMinutes(SampleJob::class, [2, $this->queue], $this->queue);

        self::assertSame('Sunday at 09:00:00', Jobs::client()->getSchedule((string) $sunday->getName())->when);
        self::assertSame([300, true], [$five->getInterval(), $five->isRecurring()]);
        $names = array_map(static fn (ScheduledJob $each): ?string => $each->getName(), Jobs::getScheduledJobs());
        self::assertContains($five->getName(), $names);
        self::assertSame(1, Jobs::clearSchedule((string) $five->getName()));
    }

    public function testStatsCountByTheNamesThatTheyHad(): void
    {
        self::assertSame(0, Jobs::stats($this->queue)['total'], 'a queue that was never used');
        Jobs::dispatch(SampleJob::class, null, $this->queue);
        Jobs::dispatchLater(60, SampleJob::class, null, $this->queue);

        $stats = Jobs::stats($this->queue);

        $counted = [$stats['pending'], $stats['scheduled'], $stats['processing'], $stats['failed'], $stats['total']];
        self::assertSame([1, 1, 0, 0, 2], $counted);
        self::assertTrue(Jobs::clear($this->queue));
        self::assertSame(0, Jobs::stats($this->queue)['total']);
    }

    public function testRetrySaysWhetherThereIsSomethingToRetry(): void
    {
        $id = Jobs::dispatch(SampleJob::class, null, $this->queue);

        self::assertFalse(Jobs::retry($id), 'it waits');
        self::assertFalse(Jobs::retry('01990000-0000-7000-8000-000000000001'), 'there is none');
        Jobs::client()->cancel($id);
        self::assertTrue(Jobs::retry($id));
    }

    public function testListenersHearOfDispatches(): void
    {
        $heard = [];
        Jobs::listen('job.queuing', static function (JobEvent $event) use (&$heard): void {
            $heard[] = [$event->getType(), $event->has('id'), $event->get('job_name'), $event->get('nothing', 'default')];
        });
        Jobs::listen('job.queued', static function (JobEvent $event) use (&$heard): void {
            $heard[] = [$event->getType(), $event->has('id'), $event->get('job_class'), $event->get('data')];
        });

        Jobs::dispatch(SampleJob::class, ['a'], $this->queue);

        self::assertSame([
            ['job.queuing', false, 'SampleJob', 'default'],
            ['job.queued', true, SampleJob::class, ['a']],
        ], $heard);
        $this->expectException(\ValueError::class);
        Jobs::listen('job.unheard', static fn () => null);
    }

    public function testASettingOfAnotherLibraryIsRefusedByName(): void
    {
        $this->expectExceptionMessage('driver');

        Jobs::configure(['driver' => 'database']);
    }
}
