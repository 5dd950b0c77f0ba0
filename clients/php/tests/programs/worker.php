<?php

declare(strict_types=1);

use ProtoJobs\Job;
use ProtoJobs\JobEvent;
use ProtoJobs\Payload\Chain;
use ProtoJobs\Payload\Compress;
use ProtoJobs\Payload\Encrypt;
use ProtoJobs\Payload\PlainCodec;
use ProtoJobs\StderrLogger;
use ProtoJobs\Worker\JobContext;
use ProtoJobs\Worker\JobStopped;
use ProtoJobs\Worker\NullObserver;
use ProtoJobs\Worker\Worker;
use ProtoJobs\Worker\WorkerOptions;

require_once __DIR__ . '/../../autoload.php';

/** Says what happens, one JSON line each, from whatever process it happens in. */
function say(string $event, array $fields = []): void
{
    file_put_contents('php://stdout', json_encode(['event' => $event, 'pid' => getmypid(), ...$fields]) . "\n");
}

final class Hooked extends Job
{
    protected string $name = 'hooked';
    protected int $maxRetries = 2;
    protected int $retryDelay = 0;

    public function handle(mixed $data): mixed
    {
        throw new DomainException("run {$this->context()->attempt()}");
    }

    public function failed(Throwable $exception, mixed $data): void
    {
        say('failed', ['class' => $exception::class, 'message' => $exception->getMessage(), 'data' => $data]);
    }
}

[, $queue, $settings] = $argv;
$key = getenv('JOBS_KEY');
$worker = new Worker(
    options: new WorkerOptions([$queue], ...json_decode($settings, true)),
    codec: $key === false ? new PlainCodec() : new Chain(new Compress(minBytes: 1), new Encrypt(['k' => $key])),
    logger: new StderrLogger('debug'),
);
$worker->register(Hooked::class);
$worker->handle('echo', static fn (mixed $data): mixed => $data);
$worker->handle('trace', static fn (mixed $data, JobContext $job): array => [
    $job->traceparent(), $job->headers(), $job->labels(), $job->priority(), $job->queue(),
]);
$worker->handle('leave', static fn () => $worker->stop());
$worker->handle('again', static function (mixed $data, JobContext $job): string {
    if ($job->checkpoint() === null) {
        $job->saveCheckpoint('half way');
        throw new RuntimeException('half way');
    }
    return $job->checkpoint();
});
$worker->handle('pid', static fn (): int => (int) getmypid());
$worker->handle('exit', static fn () => exit(3));
$worker->handle('memory', static function (): void {
    ini_set('memory_limit', '16M');
    str_repeat('x', 64 * 1024 * 1024);
});
$worker->handle('killed', static fn () => posix_kill((int) getmypid(), SIGKILL));
$worker->handle('grow', static function (): void {
    static $kept = '';
    $kept = str_repeat('x', 40 * 1024 * 1024);
});
$worker->handle('sleep', static function (array $data): string {
    say('sleeping');
    sleep($data['seconds']);
    return 'slept';
});
$worker->handle('ignore', static function (): void {
    say('ignoring');
    $end = time() + 60;
    while (time() < $end) {
        try {
            usleep(100_000);
        } catch (JobStopped $stop) {
            say('ignored', ['reason' => $stop->reason->value]);
        }
    }
});
$worker->handle('comply', static function (): string {
    try {
        sleep(60);
        return 'slept';
    } catch (JobStopped) {
        say('complied');
        return 'done all the same';
    }
});
foreach (['job.processing', 'job.processed', 'job.failed'] as $name) {
    $worker->on($name, static function (JobEvent $event): void {
        $fields = array_intersect_key($event->getData(), array_flip(['id', 'queue', 'job_name', 'attempts', 'result', 'final']));
        say($event->getType(), [...$fields, 'error' => $event->get('exception')?->getMessage()]);
    });
}
$worker->on('worker.memory_exceeded', static fn () => say('memory'));
if (getenv('JOBS_OBSERVER') === 'broken') {
    $worker->observe(new class () extends NullObserver {
        public function started(JobContext $context): void
        {
            throw new LogicException('started');
        }

        public function settled(string $jobId, int $attempt, string $code): void
        {
            throw new LogicException('settled');
        }
    });
}
$reason = $worker->run();
say('ended', ['reason' => $reason->value]);
exit($reason->code());
