<?php

declare(strict_types=1);

namespace ProtoJobs\Tests;

use PHPUnit\Framework\TestCase;
use ProtoJobs\Client;
use ProtoJobs\JobState;
use ProtoJobs\Payload\Encrypt;
use ProtoJobs\RetryPolicy;
use ProtoJobs\Tests\Support\Child;
use ProtoJobs\Tests\Support\DevServer;
use ProtoJobs\Tests\Support\FakeServer;
use ProtoJobs\Tests\Support\Workspace;
use ProtoJobs\Transport\StatusCode;

/** Workers as programs, against a real server. */
final class WorkerTest extends TestCase
{
    private DevServer $server;
    private Client $client;
    private string $queue;

    protected function setUp(): void
    {
        $this->server = DevServer::shared();
        $this->client = new Client($this->server->address());
        $this->queue = 'worker-' . bin2hex(random_bytes(6));
    }

    public function testTheHooksOfAFailureRunOnceItIsStoredAndFailedOnlyAfterTheLastRun(): void
    {
        $id = $this->client->dispatch('hooked', ['a' => 1], queue: $this->queue, retry: self::oneRetry())->jobId;
        $worker = $this->work(['maxJobs' => 2]);

        $first = $worker->event('job.failed');
        $told = $worker->event('failed');
        $last = $worker->event('job.failed');

        self::assertSame([false, 'run 1', 1], [$first['final'], $first['error'], $first['attempts']]);
        self::assertSame(['DomainException', 'run 2', ['a' => 1]], [$told['class'], $told['message'], $told['data']]);
        self::assertSame([true, 'run 2', $id], [$last['final'], $last['error'], $last['id']]);
        self::assertSame('max_jobs', $worker->event('ended')['reason']);
        self::assertSame(0, $worker->wait());
    }

    public function testEventsCarryTheKeysThatTheyHad(): void
    {
        $id = $this->client->dispatch('echo', [1], queue: $this->queue)->jobId;
        $worker = $this->work(['untilEmpty' => true]);

        $began = $worker->event('job.processing');
        $done = $worker->event('job.processed');

        self::assertSame([$id, $this->queue, 'echo', 1], [$began['id'], $began['queue'], $began['job_name'], $began['attempts']]);
        self::assertSame([1], $done['result']);
        self::assertSame('empty', $worker->event('ended')['reason']);
        self::assertSame([1], $this->client->result($id));
    }

    public function testAnObserverThatThrowsEndsNeitherItsJobNorTheWorker(): void
    {
        $ids = array_map(fn (int $n): string => $this->client->dispatch('echo', $n, queue: $this->queue)->jobId, [1, 2]);

        $worker = $this->work(['untilEmpty' => true, 'slots' => 1], environment: ['JOBS_OBSERVER' => 'broken']);

        self::assertSame('empty', $worker->event('ended')['reason']);
        self::assertSame([1, 2], array_map($this->client->result(...), $ids));
    }

    /** @dataProvider deaths */
    public function testAHandlerThatTakesItsProcessWithItFailsItsJobAndTheWorkerLives(string $kind, string $why): void
    {
        $dead = $this->client->dispatch($kind, queue: $this->queue, retry: new RetryPolicy(maxRetries: 0))->jobId;
        $after = $this->client->dispatch('echo', 'alive', queue: $this->queue)->jobId;
        $this->work(['untilEmpty' => true])->event('ended');

        $job = $this->client->get($dead);
        self::assertSame([JobState::Failed, 'ProcessDied'], [$job->state, $job->lastError?->type]);
        self::assertStringContainsString($why, (string) $job->lastError?->message);
        self::assertSame('alive', $this->client->result($after));
    }

    /** @return array<string, array{string, string}> */
    public static function deaths(): array
    {
        return [
            'it exits' => ['exit', 'ended with code 3'],
            'it runs out of memory' => ['memory', 'Allowed memory size'],
            'it is killed' => ['killed', 'ended with code 137'],
        ];
    }

    public function testAHandlerThatIgnoresItsRunTimeoutIsKilled(): void
    {
        $id = $this->client->dispatch('ignore', queue: $this->queue, runTimeout: 1, retry: new RetryPolicy(0))->jobId;
        $worker = $this->work(['stopGrace' => 0.5, 'maxJobs' => 1]);

        self::assertSame('timeout', $worker->event('ignored')['reason']);
        self::assertSame('max_jobs', $worker->event('ended')['reason']);
        self::assertSame('TIMEOUT', $this->client->get($id)->lastError?->type);
    }

    public function testACancelInterruptsASleepingHandler(): void
    {
        $id = $this->client->dispatch('sleep', ['seconds' => 60], queue: $this->queue)->jobId;
        $worker = $this->work(['maxJobs' => 1]);
        $worker->event('sleeping');

        $this->client->cancel($id);

        $worker->event('ended');
        self::assertSame(JobState::Cancelled, $this->client->get($id)->state);
    }

    public function testAProcessIsKeptForTheNextJobAndSlotsHaveTheirOwn(): void
    {
        for ($number = 0; $number < 6; $number++) {
            $ids[] = $this->client->dispatch('pid', queue: $this->queue)->jobId;
        }
        $this->work(['slots' => 2, 'untilEmpty' => true])->event('ended');

        $pids = array_unique(array_map(fn (string $id): int => $this->client->result($id), $ids));
        self::assertLessThanOrEqual(2, count($pids));
    }

    public function testHandlersDieWithAWorkerThatIsKilled(): void
    {
        $this->client->dispatch('sleep', ['seconds' => 120], queue: $this->queue);
        $worker = $this->work([]);
        $handler = $worker->event('sleeping')['pid'];

        $worker->signal(SIGKILL);
        $worker->wait();

        $end = microtime(true) + 20;
        while (self::runs($handler) && microtime(true) < $end) {
            usleep(20_000);
        }
        self::assertFalse(self::runs($handler));
    }

    public function testWhatIsNotFinishedWithinTheGraceGoesBackWithoutAMark(): void
    {
        $id = $this->client->dispatch('sleep', ['seconds' => 120], queue: $this->queue)->jobId;
        $worker = $this->work(['grace' => 0.2]);
        $worker->event('sleeping');

        $worker->signal(SIGTERM);

        self::assertSame('signal', $worker->event('ended')['reason']);
        self::assertSame(0, $worker->wait());
        $job = $this->client->get($id);
        self::assertSame([JobState::Pending, 0, 0], [$job->state, $job->failures, $job->crashes]);
    }

    public function testASecondSignalGivesEverythingBackNow(): void
    {
        $id = $this->client->dispatch('ignore', queue: $this->queue)->jobId;
        $worker = $this->work(['grace' => 100.0, 'stopGrace' => 100.0]);
        $worker->event('ignoring');

        $worker->signal(SIGTERM);
        usleep(300_000); // two signals at once are one
        $worker->signal(SIGTERM);

        self::assertSame(130, $worker->wait());
        self::assertSame(JobState::Pending, $this->client->get($id)->state);
    }

    public function testAWorkerLeavesWhenAHandlerHasGrownTooLarge(): void
    {
        $this->client->dispatch('grow', queue: $this->queue);
        $worker = $this->work(['maxMemory' => 32 * 1024 * 1024]);

        $worker->event('memory');
        self::assertSame('max_memory', $worker->event('ended')['reason']);
    }

    public function testTheHealthFileIsThereWhileAWorkerLives(): void
    {
        $file = Workspace::directory() . '/healthy';
        $worker = $this->work(['healthFile' => $file, 'maxLifetime' => 2.0]);

        $seen = false;
        while (!$seen && $worker->isRunning()) {
            clearstatcache();
            $seen = file_exists($file);
            usleep(10_000);
        }
        self::assertSame('max_lifetime', $worker->event('ended')['reason']);
        self::assertTrue($seen);
        self::assertFileDoesNotExist($file);
    }

    public function testPayloadResultAndCheckpointGoThroughTheCodec(): void
    {
        $codec = new Encrypt(['k' => str_repeat('k', 32)]);
        $client = new Client($this->server->address(), $codec);
        $echoed = $client->dispatch('echo', ['word' => 'secret'], queue: $this->queue)->jobId;
        $again = $client->dispatch('again', queue: $this->queue, retry: self::oneRetry())->jobId;
        $this->work(['untilEmpty' => true], environment: ['JOBS_KEY' => str_repeat('k', 32)])->event('ended');

        $stored = $this->client->get($echoed, full: true);
        self::assertStringNotContainsString('secret', $stored->payload . $stored->result);
        self::assertSame(['word' => 'secret'], $client->result($echoed));
        self::assertSame('half way', $client->result($again));
        self::assertSame(['word' => 'secret'], $client->payload($echoed)->decode());
    }

    public function testAWorkerWithoutTheCodecFailsTheJobAndSaysWhy(): void
    {
        $client = new Client($this->server->address(), new Encrypt(['k' => str_repeat('k', 32)]));
        $id = $client->dispatch('echo', 'secret', queue: $this->queue)->jobId;
        $this->work(['untilEmpty' => true])->event('ended');

        $job = $this->client->get($id);
        self::assertSame([JobState::Failed, 1], [$job->state, $job->attempt]);
        self::assertStringStartsWith('NO_CODEC', (string) $job->lastError?->message);
    }

    public function testAHandlerSeesWhatItsProducerSaid(): void
    {
        $options = ['queue' => $this->queue, 'headers' => ['traceparent' => 't'], 'labels' => ['l' => 'v'], 'priority' => 8];
        $id = $this->client->dispatch('trace', null, ...$options)->jobId;
        $this->work(['untilEmpty' => true])->event('ended');

        self::assertSame(['t', ['traceparent' => 't'], ['l' => 'v'], 8, $this->queue], $this->client->result($id));
    }

    public function testAHandlerMayEndItsWorker(): void
    {
        $this->client->dispatch('leave', queue: $this->queue);

        self::assertSame('signal', $this->work([])->event('ended')['reason']);
    }

    public function testAServerThatRefusesTheCredentialsEndsTheWorker(): void
    {
        $fake = new FakeServer();
        $fake->plan('WorkerService/AcquireLeases', StatusCode::Unauthenticated);
        $worker = $this->work([], $fake->address());

        self::assertSame('refused', $worker->event('ended')['reason']);
        self::assertSame(78, $worker->wait());
    }

    public function testNoJobFailsWhereTheServerIsKilledAndStartedAgain(): void
    {
        $this->server = DevServer::own();
        $this->client = new Client($this->server->address());
        $ids = [];
        for ($number = 0; $number < 8; $number++) {
            $ids[] = $this->client->dispatch('sleep', ['seconds' => 1], queue: $this->queue)->jobId;
        }
        $workers = [$this->work(['slots' => 2]), $this->work(['slots' => 2])];
        array_walk($workers, static fn (Child $worker) => $worker->event('sleeping'));

        $this->server->kill();
        $this->server->start();

        foreach ($ids as $id) {
            $job = $this->client->waitFor($id, 60);
            self::assertSame([JobState::Completed, 0, 0], [$job->state, $job->failures, $job->crashes]);
        }
    }

    private static function runs(int $pid): bool
    {
        if (!is_dir('/proc/self')) {
            return posix_kill($pid, 0);
        }
        // An orphan that has ended keeps its number until init takes note of it, which may take its time.
        $stat = @file_get_contents("/proc/$pid/stat");

        return $stat !== false && !str_contains($stat, ') Z ');
    }

    private static function oneRetry(): RetryPolicy
    {
        return new RetryPolicy(1, 0);
    }

    /**
     * @param array<string, mixed> $settings of WorkerOptions
     * @param array<string, string> $environment
     */
    private function work(array $settings, ?string $address = null, array $environment = []): Child
    {
        $command = [PHP_BINARY, __DIR__ . '/programs/worker.php', $this->queue, (string) json_encode((object) $settings)];
        return new Child($command, ['PROTOJOBS_ADDRESS' => $address ?? $this->server->address(), ...$environment]);
    }
}
