<?php

declare(strict_types=1);

namespace ProtoJobs\Tests;

use PHPUnit\Framework\TestCase;
use ProtoJobs\Client;
use ProtoJobs\DispatchOutcome;
use ProtoJobs\Exception\DuplicateJobException;
use ProtoJobs\Exception\InvalidArgumentException;
use ProtoJobs\Exception\JobCancelledException;
use ProtoJobs\Exception\JobIdReusedException;
use ProtoJobs\Exception\JobNotFinalException;
use ProtoJobs\Exception\QueueNotFoundException;
use ProtoJobs\Exception\ScheduleNotFoundException;
use ProtoJobs\Exception\WaitTimeoutException;
use ProtoJobs\JobChange;
use ProtoJobs\JobInfo;
use ProtoJobs\JobRequest;
use ProtoJobs\JobState;
use ProtoJobs\OnConflict;
use ProtoJobs\ScheduleSpec;
use ProtoJobs\Tests\Support\DevServer;
use ProtoJobs\Weekday;

/** The calls of the client against a real server. */
final class ServerTest extends TestCase
{
    private Client $client;
    private string $queue;

    protected function setUp(): void
    {
        $this->client = new Client(DevServer::shared()->address());
        $this->queue = 'server-' . bin2hex(random_bytes(6));
    }

    public function testTheSameIdAgainIsTheSameJobAndAnotherBodyIsRefused(): void
    {
        $id = $this->client->dispatch('kind', 1, queue: $this->queue)->jobId;
        $request = (new JobRequest('kind', 1, $this->queue))->withId($id);

        self::assertSame(DispatchOutcome::Existing, $this->client->dispatch($request)->outcome);
        $this->expectException(JobIdReusedException::class);
        $this->client->dispatch($request, 2);
    }

    public function testAUniqueKeyIsTakenOnce(): void
    {
        $request = (new JobRequest('kind', queue: $this->queue))->unique('key');
        $id = $this->client->dispatch($request)->jobId;
        $existing = $this->client->dispatch($request->unique('key', onConflict: OnConflict::ReturnExisting));

        self::assertSame([$id, DispatchOutcome::Existing], [$existing->jobId, $existing->outcome]);
        try {
            $this->client->dispatch($request);
            self::fail('it was taken twice');
        } catch (DuplicateJobException $error) {
            self::assertSame($id, $error->jobId());
        }
    }

    public function testAnAtomicBatchStoresAllOrNone(): void
    {
        $good = new JobRequest('kind', queue: $this->queue);

        self::assertCount(2, $this->client->dispatchAtomic([$good, $good]));
        try {
            $this->client->dispatchAtomic([$good, $good->priority(99)]);
            self::fail('it was stored');
        } catch (InvalidArgumentException $error) {
            self::assertStringContainsString('priority', $error->violations()[0]->field);
        }
        self::assertSame(2, $this->client->stats($this->queue)[$this->queue]->pending);
    }

    public function testJobsAreListedByWhatTheyAreAndLookedAtOneByOne(): void
    {
        foreach (['a', 'b', 'a'] as $kind) {
            $ids[] = $this->client->dispatch($kind, queue: $this->queue, labels: ['team' => $kind])->jobId;
        }
        $names = static fn (iterable $jobs): array => array_map(static fn (JobInfo $job): string => $job->id, [...$jobs]);

        $oldest = $names($this->client->list([$this->queue], labels: ['team' => 'a'], oldestFirst: true, pageSize: 1));
        self::assertSame([$ids[0], $ids[2]], $oldest);
        self::assertSame([$ids[1]], $names($this->client->list(filter: "queue = {$this->queue} and kind = b")));
        self::assertSame([], $names($this->client->failedJobs($this->queue)));
        self::assertSame([], [...$this->client->attempts($ids[0])]);
        $this->client->delete($ids[0]);
        self::assertSame(2, $this->client->clear($this->queue));
    }

    public function testAPausedQueueGivesNoJobs(): void
    {
        $this->client->pause($this->queue);
        self::assertTrue($this->client->stats($this->queue)[$this->queue]->paused);
        $this->client->resume($this->queue);
        self::assertFalse($this->client->stats($this->queue)[$this->queue]->paused);

        $this->expectException(QueueNotFoundException::class);
        $this->client->stats("no-{$this->queue}");
    }

    public function testAWaitEndsWithItsTimeAndWithAJobThatHasNoResult(): void
    {
        $request = (new JobRequest('kind', queue: $this->queue))->keepResult(60)->expiresAt(new \DateTimeImmutable('+1 hour'));
        $id = $this->client->dispatch($request)->jobId;
        try {
            $this->client->wait($id, 0.1);
            self::fail('it has ended');
        } catch (WaitTimeoutException) {
            self::assertFalse($this->client->get($id)->state->isFinal());
        }
        try {
            $this->client->result($id);
            self::fail('it has a result');
        } catch (JobNotFinalException) {
            self::assertSame(JobState::Cancelled, $this->client->cancel($id));
        }

        $this->expectException(JobCancelledException::class);
        $this->client->wait($id, 10);
    }

    public function testWhatHappensIsWatchedFromWhereOneLooks(): void
    {
        $begin = function (): void {
            $this->client->cancel($this->client->dispatch('kind', queue: $this->queue)->jobId);
        };
        foreach ($this->client->watch([$this->queue], onReady: $begin) as $change) {
            self::assertInstanceOf(JobChange::class, $change);
            self::assertSame('job.cancelled', $change->type);
            self::assertSame([JobState::Pending, JobState::Cancelled], [$change->before, $change->after]);
            self::assertSame('kind', $change->job?->kind);
            break;
        }
    }

    public function testAScheduleIsDeclaredPausedTriggeredAndRemoved(): void
    {
        $daily = $this->client->scheduleCron('kind', ['q' => $this->queue], '30 2 * * *', 'Europe/Prague', queue: $this->queue);

        $again = $this->client->scheduleCron('kind', ['q' => $this->queue], '30 2 * * *', 'Europe/Prague', queue: $this->queue);
        self::assertSame([$daily->name, $daily->etag], [$again->name, $again->etag]);
        $this->client->pauseSchedule($daily->name);
        self::assertTrue($this->client->getSchedule($daily->name)->paused);
        $this->client->resumeSchedule($daily->name);
        $job = $this->client->get($this->client->triggerSchedule($daily->name));
        self::assertSame(['kind', $this->queue], [$job->kind, $job->queue]);
        $this->client->deleteSchedule($daily->name);

        $this->expectException(ScheduleNotFoundException::class);
        $this->client->getSchedule($daily->name);
    }

    public function testTicksAreShownBeforeAnythingIsSaved(): void
    {
        $when = ScheduleSpec::weekly([Weekday::Monday, Weekday::Friday], ['09:00']);

        $ticks = $this->client->previewSchedule($when, 'Europe/Prague', 2);
        $days = [Weekday::Monday, Weekday::Friday];
        $saved = $this->client->scheduleWeekly('kind', $this->queue, $days, ['09:00'], 'Europe/Prague');

        $zone = new \DateTimeZone('Europe/Prague');
        $shown = array_map(static fn (\DateTimeImmutable $at): string => $at->setTimezone($zone)->format('D H:i'), $ticks);
        self::assertEqualsCanonicalizing(['Mon 09:00', 'Fri 09:00'], $shown);
        self::assertSame('Monday, Friday at 09:00:00', $saved->when);
    }
}
