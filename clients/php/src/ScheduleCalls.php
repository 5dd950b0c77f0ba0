<?php

declare(strict_types=1);

namespace ProtoJobs;

use ProtoJobs\Exception\ConflictException;
use ProtoJobs\Exception\ScheduleNotFoundException;
use Protojobs\V1\Catchup;
use Protojobs\V1\DeleteScheduleRequest;
use Protojobs\V1\DeleteScheduleResponse;
use Protojobs\V1\GetScheduleRequest;
use Protojobs\V1\GetScheduleResponse;
use Protojobs\V1\ListSchedulesRequest;
use Protojobs\V1\ListSchedulesResponse;
use Protojobs\V1\PauseScheduleRequest;
use Protojobs\V1\PauseScheduleResponse;
use Protojobs\V1\PreviewScheduleRequest;
use Protojobs\V1\PreviewScheduleResponse;
use Protojobs\V1\ResumeScheduleRequest;
use Protojobs\V1\ResumeScheduleResponse;
use Protojobs\V1\Schedule;
use Protojobs\V1\ScheduleRequest;
use Protojobs\V1\ScheduleResponse;
use Protojobs\V1\TriggerScheduleRequest;
use Protojobs\V1\TriggerScheduleResponse;
use Protojobs\V1\ScheduleSpec as SpecMessage;

/**
 * The part of the client about schedules, and jobs at a time. The same declaration again is the same schedule.
 *
 * Options are those of JobRequest by name, without jobId, delay and runAt.
 */
trait ScheduleCalls
{
    /** Stores a job that starts at a time and returns its id; one in the past means at once. */
    public function scheduleAt(string|Job|JobRequest $job, mixed $data, \DateTimeInterface $runAt, mixed ...$options): string
    {
        $spec = (new SpecMessage())->setAt(Times::timestamp($runAt));
        return $this->scheduleOne(JobRequest::of($job, $data, ...$options), $spec);
    }

    /** Stores a job that starts after a while, seconds or an interval, and returns its id. */
    public function scheduleIn(string|Job|JobRequest $job, mixed $data, int|float|\DateInterval $wait, mixed ...$options): string
    {
        $spec = (new SpecMessage())->setIn(Times::duration($wait));
        return $this->scheduleOne(JobRequest::of($job, $data, ...$options), $spec);
    }

    /** Makes a job at a fixed distance in elapsed time, 1 s to 365 days. */
    public function scheduleEvery(
        string|Job|JobRequest $job,
        mixed $data,
        int|float|\DateInterval $interval,
        mixed ...$options,
    ): ScheduleInfo {
        return $this->schedule(JobRequest::of($job, $data, ...$options), ScheduleSpec::every($interval));
    }

    /** Makes a job where five fields match the clock of $timeZone, or by @hourly, @daily, @weekly, @monthly. */
    public function scheduleCron(
        string|Job|JobRequest $job,
        mixed $data,
        string $expression,
        string $timeZone = '',
        mixed ...$options,
    ): ScheduleInfo {
        return $this->schedule(JobRequest::of($job, $data, ...$options), ScheduleSpec::cron($expression), timeZone: $timeZone);
    }

    /**
     * Makes a job each day at local times "HH:MM" of $timeZone.
     *
     * @param list<string> $times
     */
    public function scheduleDaily(
        string|Job|JobRequest $job,
        mixed $data,
        array $times,
        string $timeZone = '',
        mixed ...$options,
    ): ScheduleInfo {
        return $this->schedule(JobRequest::of($job, $data, ...$options), ScheduleSpec::daily(...$times), timeZone: $timeZone);
    }

    /**
     * Makes a job on some days of the week at local times "HH:MM" of $timeZone.
     *
     * @param list<Weekday> $days
     * @param list<string> $times
     */
    public function scheduleWeekly(
        string|Job|JobRequest $job,
        mixed $data,
        array $days,
        array $times,
        string $timeZone = '',
        mixed ...$options,
    ): ScheduleInfo {
        $spec = ScheduleSpec::weekly($days, $times);
        return $this->schedule(JobRequest::of($job, $data, ...$options), $spec, timeZone: $timeZone);
    }

    /**
     * Makes or changes a schedule by its name and returns it as stored.
     *
     * @param string $name default: kind and a hash of what it does and when
     * @param string $timeZone IANA name, default UTC; for cron, daily and weekly
     * @param int|float|\DateInterval|null $jitter each tick is late by a random part of it; at most 1 h
     * @param string $etag of the schedule as it was read: refused if it has changed since
     * @throws \ValueError for options that only a single job has
     * @throws ConflictException for an etag that does not match
     */
    public function schedule(
        JobRequest $job,
        ScheduleSpec $when,
        string $name = '',
        string $timeZone = '',
        ?\DateTimeInterface $startAt = null,
        ?\DateTimeInterface $endAt = null,
        int|float|\DateInterval|null $jitter = null,
        CatchupMode $catchup = CatchupMode::Last,
        Overlap $overlap = Overlap::Allow,
        bool $paused = false,
        string $etag = '',
    ): ScheduleInfo {
        if ($job->jobId !== null || $job->delay !== null || $job->runAt !== null) {
            throw new \ValueError('jobs of a schedule take no jobId, delay or runAt');
        }
        $spec = $when->toMessage($timeZone)
            ->setStartTime(Times::timestamp($startAt))
            ->setEndTime(Times::timestamp($endAt))
            ->setJitter(Times::duration($jitter));
        $schedule = (new Schedule())
            ->setName($name)
            ->setSpec($spec)
            // No id and no trace: the same declaration is the same message.
            ->setJob(Specs::make($job, '', $this->codec))
            ->setCatchup((new Catchup())->setMode($catchup->value))
            ->setOverlap($overlap->value)
            ->setPaused($paused)
            ->setEtag($etag);
        return ScheduleInfo::ofMessage($this->storeSchedule($schedule)->getSchedule());
    }

    /**
     * Returns the schedules by name, page by page as they are looped over.
     *
     * @return \Generator<int, ScheduleInfo>
     */
    public function schedules(int $pageSize = 100): \Generator
    {
        $request = (new ListSchedulesRequest())->setPageSize($pageSize);
        $count = 0;
        do {
            $answer = $this->connection->call('ScheduleService/ListSchedules', $request, ListSchedulesResponse::class);
            foreach ($answer->getSchedules() as $schedule) {
                yield $count++ => ScheduleInfo::ofMessage($schedule);
            }
            $request->setPageToken($answer->getNextPageToken());
        } while ($answer->getNextPageToken() !== '');
    }

    /**
     * Returns one schedule.
     *
     * @throws ScheduleNotFoundException
     */
    public function getSchedule(string $name): ScheduleInfo
    {
        $request = (new GetScheduleRequest())->setName($name);
        $answer = $this->connection->call('ScheduleService/GetSchedule', $request, GetScheduleResponse::class);
        return ScheduleInfo::ofMessage($answer->getSchedule());
    }

    /**
     * Stops its ticks.
     *
     * @throws ScheduleNotFoundException
     */
    public function pauseSchedule(string $name): void
    {
        $request = (new PauseScheduleRequest())->setName($name);
        $this->connection->call('ScheduleService/PauseSchedule', $request, PauseScheduleResponse::class);
    }

    /**
     * Lets it tick again from now on; nothing of the pause is caught up.
     *
     * @throws ScheduleNotFoundException
     */
    public function resumeSchedule(string $name): void
    {
        $request = (new ResumeScheduleRequest())->setName($name);
        $this->connection->call('ScheduleService/ResumeSchedule', $request, ResumeScheduleResponse::class);
    }

    /**
     * Makes a job of the schedule now, whatever its ticks do, and returns its id.
     *
     * @throws ScheduleNotFoundException
     */
    public function triggerSchedule(string $name): string
    {
        $request = (new TriggerScheduleRequest())->setName($name)->setJobId($this->ids->next());
        $deadline = $this->connection->options->dispatchDeadline;
        $answer = $this->connection->call('ScheduleService/TriggerSchedule', $request, TriggerScheduleResponse::class, $deadline);
        return $answer->getJobId();
    }

    /**
     * Removes a schedule; jobs that it made stay.
     *
     * @throws ScheduleNotFoundException
     * @throws ConflictException for an etag that does not match
     */
    public function deleteSchedule(string $name, string $etag = ''): void
    {
        $request = (new DeleteScheduleRequest())->setName($name)->setEtag($etag);
        $this->connection->call('ScheduleService/DeleteSchedule', $request, DeleteScheduleResponse::class);
    }

    /**
     * Returns the next ticks, in UTC, of a spec that need not be saved.
     *
     * @return list<\DateTimeImmutable>
     */
    public function previewSchedule(ScheduleSpec $when, string $timeZone = '', int $count = 5): array
    {
        $request = (new PreviewScheduleRequest())->setSpec($when->toMessage($timeZone))->setCount($count);
        $answer = $this->connection->call('ScheduleService/PreviewSchedule', $request, PreviewScheduleResponse::class);
        $times = [];
        foreach ($answer->getTimes() as $time) {
            $times[] = Times::time($time);
        }
        return array_values(array_filter($times));
    }

    private function scheduleOne(JobRequest $request, SpecMessage $when): string
    {
        if ($request->delay !== null || $request->runAt !== null) {
            throw new \ValueError('a scheduled job takes no delay or runAt');
        }
        return $this->learning($request, function () use ($request, $when): string {
            $job = Specs::make($request, $request->jobId ?? $this->ids->next(), $this->codec, Trace::headers());
            return $this->storeSchedule((new Schedule())->setSpec($when)->setJob($job))->getJobId();
        });
    }

    private function storeSchedule(Schedule $schedule): ScheduleResponse
    {
        return $this->connection->call(
            'ScheduleService/Schedule',
            (new ScheduleRequest())->setSchedule($schedule),
            ScheduleResponse::class,
            $this->connection->options->dispatchDeadline,
        );
    }
}
