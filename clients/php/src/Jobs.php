<?php

declare(strict_types=1);

namespace ProtoJobs;

use ProtoJobs\Exception\JobNotFinalException;
use ProtoJobs\Exception\JobNotFoundException;
use ProtoJobs\Exception\QueueNotFoundException;
use ProtoJobs\Payload\Codec;
use ProtoJobs\Payload\PlainCodec;
use ProtoJobs\Worker\ExitReason;
use ProtoJobs\Worker\Listeners;
use ProtoJobs\Worker\Worker;
use ProtoJobs\Worker\WorkerOptions;
use Psr\Log\LoggerInterface;
use Psr\Log\NullLogger;

/**
 * Everything by one name, for programs that have one server: dispatch, schedule, look, work.
 *
 *     Jobs::configure(['address' => '127.0.0.1:50051']);
 *     Jobs::dispatch(SendEmailJob::class, ['to' => 'ann@example.com']);
 *
 * Where a call fails it throws a ProtoJobsException. Programs that want more use Client and Worker, which this stands on.
 */
final class Jobs
{
    private const SETTINGS = ['address', 'token', 'tokenFile', 'ca', 'cert', 'key', 'serverName', 'tls', 'insecure',
        'dispatchDeadline', 'readDeadline', 'callTimeout', 'maxMessageBytes', 'maxReceiveBytes'];

    /** @var array<string, mixed> */
    private static array $config = [];
    private static ?Client $client = null;
    private static ?Listeners $listeners = null;
    /** @var list<array{string, callable}> */
    private static array $workerListeners = [];
    /** @var list<class-string<Job>> */
    private static array $classes = [];
    /** @var list<string> */
    private static array $namespaces = [];
    private static ?Worker $worker = null;

    /**
     * Says where the server is; what is not said comes from PROTOJOBS_* of the environment.
     *
     * @param array<string, mixed> $config settings of Options by name; logger, a PSR-3 logger; codec; namespace, or a list of
     *     them, whose job classes a worker may make; worker, settings of WorkerOptions by name
     * @throws \ValueError for a setting that there is not
     */
    public static function configure(array $config = []): void
    {
        $unknown = array_diff(array_keys($config), [...self::SETTINGS, 'logger', 'codec', 'namespace', 'worker']);
        if ($unknown !== []) {
            throw new \ValueError('no setting is called ' . implode(', ', $unknown) . '; see docs/migrate-from-php.md');
        }
        self::$client?->close();
        self::$client = null;
        self::$config = $config;
        self::$namespaces = array_values((array) ($config['namespace'] ?? []));
    }

    /**
     * Names the job classes that a worker of this process runs. No other class is ever made because a job names it, but
     * those of the configured namespaces.
     *
     * @param class-string<Job> ...$classes
     */
    public static function register(string ...$classes): void
    {
        self::$classes = array_values(array_unique([...self::$classes, ...$classes]));
    }

    /** Stores a job and returns its id. $delay is in seconds. */
    public static function dispatch(
        string|Job|JobRequest $job,
        mixed $data = null,
        ?string $queue = null,
        ?int $delay = null,
    ): string {
        $request = JobRequest::of($job, $data, queue: $queue, delay: $delay);
        $about = [
            'queue' => $request->queue ?? Specs::DEFAULT_QUEUE,
            'job_class' => str_replace('.', '\\', $request->kind),
            'job_name' => substr((string) strrchr(".{$request->kind}", '.'), 1),
            'data' => $data,
        ];
        self::listeners()->emit('job.queuing', $about);
        $id = self::client()->dispatch($request)->jobId;
        self::listeners()->emit('job.queued', ['id' => $id, ...$about]);
        return $id;
    }

    /** Stores a job that starts after so many seconds and returns its id. */
    public static function dispatchLater(int $delay, string|Job|JobRequest $job, mixed $data = null, ?string $queue = null): string
    {
        return self::dispatch($job, $data, $queue, $delay);
    }

    /**
     * Stores a job that starts at a time: what strtotime takes, in the zone of date_default_timezone_get(), or seconds since 1970.
     *
     * @throws \ValueError for what is no time
     */
    public static function scheduleAt(
        string|Job|JobRequest $job,
        string|int|\DateTimeInterface $time,
        mixed $data = null,
        ?string $queue = null,
    ): ScheduledJob {
        $at = match (true) {
            $time instanceof \DateTimeInterface => $time->getTimestamp(),
            is_numeric($time) => (int) $time,
            default => strtotime($time),
        };
        if ($at === false) {
            throw new \ValueError('this is no time that strtotime takes');
        }
        $request = JobRequest::of($job, $data, queue: $queue);
        $id = self::client()->scheduleAt($request, null, new \DateTimeImmutable("@$at"));
        return self::scheduled($request, $data, $at, jobId: $id);
    }

    /** Stores a job that starts after so many seconds. */
    public static function scheduleIn(
        string|Job|JobRequest $job,
        int $delay,
        mixed $data = null,
        ?string $queue = null,
    ): ScheduledJob {
        $request = JobRequest::of($job, $data, queue: $queue);
        $id = self::client()->scheduleIn($request, null, $delay);
        return self::scheduled($request, $data, time() + $delay, jobId: $id);
    }

    /** Makes a job every so many seconds. The same call again is the same schedule. */
    public static function scheduleEvery(
        string|Job|JobRequest $job,
        int $interval,
        mixed $data = null,
        ?string $queue = null,
    ): ScheduledJob {
        return self::recurring($job, $data, $queue, ScheduleSpec::every($interval));
    }

    /** Makes a job every minute. */
    public static function everyMinute(string|Job|JobRequest $job, mixed $data = null, ?string $queue = null): ScheduledJob
    {
        return self::scheduleEvery($job, 60, $data, $queue);
    }

    /** Makes a job every five minutes. */
    public static function everyFiveMinutes(string|Job|JobRequest $job, mixed $data = null, ?string $queue = null): ScheduledJob
    {
        return self::scheduleEvery($job, 300, $data, $queue);
    }

    /** Makes a job every hour. */
    public static function hourly(string|Job|JobRequest $job, mixed $data = null, ?string $queue = null): ScheduledJob
    {
        return self::scheduleEvery($job, 3600, $data, $queue);
    }

    /** Makes a job each day at a local time "HH:MM", in the zone of date_default_timezone_get(). */
    public static function scheduleDaily(
        string|Job|JobRequest $job,
        mixed $data = null,
        ?string $queue = null,
        string $time = '00:00',
    ): ScheduledJob {
        return self::recurring($job, $data, $queue, ScheduleSpec::daily($time));
    }

    /** Makes a job each week, on a day (0 is Sunday) at a local time "HH:MM", in the zone of date_default_timezone_get(). */
    public static function weekly(
        string|Job|JobRequest $job,
        mixed $data = null,
        ?string $queue = null,
        int $dayOfWeek = 0,
        string $time = '00:00',
    ): ScheduledJob {
        $day = Weekday::tryFrom($dayOfWeek === 0 ? 7 : $dayOfWeek) ?? throw new \ValueError('a day of the week is 0 to 6');
        return self::recurring($job, $data, $queue, ScheduleSpec::weekly([$day], [$time]));
    }

    /**
     * Returns all schedules of the server, whoever has declared them.
     *
     * @return list<ScheduledJob>
     */
    public static function getScheduledJobs(): array
    {
        $found = [];
        foreach (self::client()->schedules() as $schedule) {
            $found[] = ScheduledJob::ofSchedule($schedule);
        }
        return $found;
    }

    /** Removes schedules of the server, those whose names begin with $prefix; jobs that they made stay. Returns how many. */
    public static function clearSchedule(string $prefix = ''): int
    {
        $removed = 0;
        foreach (iterator_to_array(self::client()->schedules(), false) as $schedule) {
            if (str_starts_with($schedule->name, $prefix)) {
                self::client()->deleteSchedule($schedule->name);
                $removed++;
            }
        }
        return $removed;
    }

    /**
     * Returns numbers of jobs by state, of one queue or of all; a queue that was never used has none.
     *
     * @return array{pending: int, processing: int, completed: int, failed: int, total: int, scheduled: int, retrying: int,
     *     cancelled: int, expired: int} pending are those that could run at once
     */
    public static function stats(?string $queue = null): array
    {
        $names = ['pending', 'processing', 'completed', 'failed', 'scheduled', 'retrying', 'cancelled', 'expired'];
        $sum = array_fill_keys($names, 0);
        try {
            $stats = self::client()->stats($queue);
        } catch (QueueNotFoundException) {
            $stats = [];
        }
        foreach ($stats as $each) {
            foreach ($names as $name) {
                $sum[$name] += $name === 'processing' ? $each->running : $each->$name;
            }
        }
        return [...$sum, 'total' => array_sum($sum)];
    }

    /**
     * Returns jobs that failed for good, newest first.
     *
     * @return list<FailedJob>
     */
    public static function failedJobs(int $limit = 50, int $offset = 0, ?string $queue = null): array
    {
        $found = [];
        foreach (self::client()->failedJobs($queue, full: true) as $place => $job) {
            if ($place >= $offset + $limit) {
                break;
            }
            if ($place >= $offset) {
                $found[] = FailedJob::of($job);
            }
        }
        return $found;
    }

    /** Takes a job up again that has ended. False: there is none of that id, or it has not ended. */
    public static function retry(string $jobId): bool
    {
        try {
            self::client()->retry($jobId);
        } catch (JobNotFoundException | JobNotFinalException) {
            return false;
        }
        return true;
    }

    /** Deletes the jobs of a queue that wait. */
    public static function clear(string $queue = 'default'): bool
    {
        try {
            self::client()->clear($queue);
        } catch (QueueNotFoundException) {
            // Nothing is in it.
        }
        return true;
    }

    /**
     * Calls $listener with a JobEvent at every such event in this process: job.queuing, job.queued; in a worker also
     * job.processing, job.processed, job.failed (in the process of the handler), worker.starting, worker.stopped.
     *
     * @throws \ValueError for a name that no event has
     */
    public static function listen(string $event, callable $listener): void
    {
        self::listeners()->add($event, $listener);
        self::$workerListeners[] = [$event, $listener];
    }

    /**
     * Runs the registered classes, and those of the configured namespaces, until the worker ends; returns why.
     *
     * @param string|array<int|string, int|string> $queue one queue, several separated by commas, or as WorkerOptions takes them
     * @param int $maxJobs leave after so many jobs; 0: no bound
     * @param mixed ...$settings of WorkerOptions by name, over those of `configure`; logger, where `configure` has none
     */
    public static function work(string|array $queue = 'default', int $maxJobs = 0, mixed ...$settings): ExitReason
    {
        self::$worker = self::worker(is_array($queue) ? $queue : array_map('trim', explode(',', $queue)), $maxJobs, $settings);
        try {
            return self::$worker->run();
        } finally {
            self::$worker = null;
        }
    }

    /** Ends `work` once what runs is finished, as SIGTERM does. */
    public static function stop(): void
    {
        self::$worker?->stop();
    }

    /** Returns the client that the calls go through. */
    public static function client(): Client
    {
        return self::$client ??= new Client(self::options(), self::codec(), logger: self::logger());
    }

    /** Forgets settings, listeners and classes; for tests. */
    public static function reset(): void
    {
        self::configure();
        self::$listeners = null;
        self::$classes = self::$workerListeners = [];
    }

    /**
     * @param array<int|string, int|string> $queues
     * @param array<string, mixed> $settings
     */
    private static function worker(array $queues, int $maxJobs, array $settings): Worker
    {
        $settings = array_filter($settings, static fn (mixed $value): bool => $value !== null);
        $given = [...(self::$config['worker'] ?? []), ...$settings, 'queues' => $queues];
        if ($maxJobs > 0) {
            $given['maxJobs'] = $maxJobs;
        }
        $logger = self::$config['logger'] ?? $given['logger'] ?? self::logger();
        unset($given['logger']);
        $worker = new Worker(self::options(), new WorkerOptions(...$given), self::codec(), $logger);
        $worker->register(...self::$classes);
        foreach (self::$namespaces as $namespace) {
            $worker->registerNamespace($namespace);
        }
        foreach (self::$workerListeners as [$event, $listener]) {
            $worker->on($event, $listener);
        }
        return $worker;
    }

    private static function recurring(string|Job|JobRequest $job, mixed $data, ?string $queue, ScheduleSpec $when): ScheduledJob
    {
        $request = JobRequest::of($job, $data, queue: $queue);
        return ScheduledJob::ofSchedule(self::client()->schedule($request, $when, timeZone: date_default_timezone_get()));
    }

    private static function scheduled(JobRequest $request, mixed $data, int $at, string $jobId): ScheduledJob
    {
        $queue = $request->queue ?? Specs::DEFAULT_QUEUE;
        return new ScheduledJob(str_replace('.', '\\', $request->kind), $data, $queue, $at, jobId: $jobId);
    }

    private static function options(): Options
    {
        return Options::fromEnvironment(null, ...array_intersect_key(self::$config, array_flip(self::SETTINGS)));
    }

    private static function codec(): Codec
    {
        return self::$config['codec'] ?? new PlainCodec();
    }

    private static function logger(): LoggerInterface
    {
        return self::$config['logger'] ?? new NullLogger();
    }

    private static function listeners(): Listeners
    {
        return self::$listeners ??= new Listeners(self::logger());
    }
}
