<?php

declare(strict_types=1);

namespace ProtoJobs\Tests;

use Google\Protobuf\Any;
use Google\Protobuf\Duration;
use Google\Rpc\ErrorInfo;
use Google\Rpc\Status;
use PHPUnit\Framework\TestCase;
use ProtoJobs\Tests\Support\Child;
use ProtoJobs\Tests\Support\FakeServer;
use ProtoJobs\Times;
use ProtoJobs\Transport\StatusCode;
use Protojobs\V1\AcquireLeasesRequest;
use Protojobs\V1\AcquireLeasesResponse;
use Protojobs\V1\ExtendLeasesResponse;
use Protojobs\V1\GetServerInfoResponse;
use Protojobs\V1\JobSpec;
use Protojobs\V1\LeaseRef;
use Protojobs\V1\LeasedJob;
use Protojobs\V1\Limits;
use Protojobs\V1\ReleaseReason;
use Protojobs\V1\SettleCode;
use Protojobs\V1\SettleItem;
use Protojobs\V1\SettleLeasesRequest;
use Protojobs\V1\SettleLeasesResponse;
use Protojobs\V1\Settled;
use Protojobs\V1\SettledItem;

/** What a worker says to its server, by one whose every answer is planned. */
final class SessionTest extends TestCase
{
    private FakeServer $server;
    /** @var list<Child> */
    private array $workers = [];

    protected function setUp(): void
    {
        $this->server = new FakeServer();
        $this->server->plan('WorkerService/ExtendLeases', (new ExtendLeasesResponse())->setSessionTtl(self::seconds(30)));
        $this->server->plan('WorkerService/SettleLeases', new SettleLeasesResponse());
    }

    public function testACallForJobsThatWasNotAnsweredIsMadeAgainUnderItsNumber(): void
    {
        $this->acquire(StatusCode::Unavailable, self::leases(), ['hang' => 60]);
        $this->work();

        $calls = [$this->acquired(), $this->acquired(), $this->acquired()];

        self::assertSame([1, 1, 2], array_map(static fn ($each): int => (int) $each->getAcquireSeq(), $calls));
        self::assertCount(1, array_unique(array_map(static fn ($each): string => $each->getSessionId(), $calls)));
        self::assertSame(16, strlen($calls[0]->getSessionId()));
    }

    public function testASessionThatIsOverIsFollowedByAnother(): void
    {
        $this->acquire(self::status(9, 'SESSION_CLOSED'), self::leases(), ['hang' => 60]);
        $this->work();

        self::assertNotSame($this->acquired()->getSessionId(), $this->acquired()->getSessionId());
    }

    public function testAnOutcomeIsSentUntilItIsAnswered(): void
    {
        $this->acquire(self::leases(self::job('a', 'echo', '"done"')), ['hang' => 60]);
        $this->server->plan(
            'WorkerService/SettleLeases',
            StatusCode::Unavailable,
            self::settled('a', SettleCode::SETTLE_CODE_RETRY_LATER),
            self::settled('a', SettleCode::SETTLE_CODE_OK),
        );
        $this->work(['maxJobs' => 1])->event('ended');

        $results = [];
        for ($call = 0; $call < 3; $call++) {
            $results[] = $this->outcome()->getComplete()?->getResult();
        }
        self::assertSame(['"done"', '"done"', '"done"'], $results);
    }

    public function testAnOutcomeThatIsSupersededIsDroppedAndNoHookRuns(): void
    {
        $this->acquire(self::leases(self::job('a', 'hooked')), ['hang' => 60]);
        $this->server->plan('WorkerService/SettleLeases', self::settled('a', SettleCode::SETTLE_CODE_LEASE_SUPERSEDED));
        $worker = $this->work(['maxJobs' => 1]);

        self::assertSame('max_jobs', $worker->event('ended')['reason']);
        self::assertSame(0, $worker->wait());
        self::assertStringNotContainsString('job.failed', $worker->rest());
    }

    public function testTheNextAttemptMayComeBeforeTheAnswerToTheLastOutcome(): void
    {
        $second = self::leases(self::job('a', 'hooked', attempt: 2));
        $this->acquire(
            self::leases(self::job('a', 'hooked')),
            ['hang' => 1, 'messages' => [base64_encode($second->serializeToString())]],
            ['hang' => 60],
        );
        $answers = array_map(static fn (int $attempt) => self::settled('a', SettleCode::SETTLE_CODE_OK, $attempt), [1, 2]);
        $late = ['hang' => 3, 'messages' => [base64_encode($answers[0]->serializeToString())]];
        $this->server->plan('WorkerService/SettleLeases', $late, $answers[1]);
        $worker = $this->work(['slots' => 2, 'maxJobs' => 2]);

        $failed = [$worker->event('job.failed')['error'], $worker->event('job.failed')['error']];

        sort($failed);
        self::assertSame(['run 1', 'run 2'], $failed);
        self::assertSame('max_jobs', $worker->event('ended')['reason']);
        self::assertSame(0, $worker->wait());
    }

    public function testAnOutcomeThatTheServerCannotTakeBecomesAPlainFailure(): void
    {
        $this->acquire(self::leases(self::job('a', 'echo', '1')), ['hang' => 60]);
        $this->server->plan(
            'WorkerService/SettleLeases',
            self::settled('a', SettleCode::SETTLE_CODE_INVALID),
            self::settled('a', SettleCode::SETTLE_CODE_OK),
        );
        $this->work(['maxJobs' => 1])->event('ended');

        self::assertNotNull($this->outcome()->getComplete());
        $second = $this->outcome()->getFail();
        self::assertSame(['INVALID_OUTCOME', false], [$second?->getError()?->getType(), $second?->getRetryable()]);
    }

    public function testALeaseThatIsLostIsStoppedAndNeverSettled(): void
    {
        $sleeping = self::job('a', 'sleep', '{"seconds":60}');
        $this->acquire(self::leases($sleeping), self::leases(self::job('b', 'echo')), ['hang' => 60]);
        $ref = (new LeaseRef())->setJobId('a')->setAttempt(1);
        $this->server->plan('WorkerService/ExtendLeases', (new ExtendLeasesResponse())->setLost([$ref]));
        $this->server->plan('WorkerService/SettleLeases', self::settled('b', SettleCode::SETTLE_CODE_OK));
        $this->work(['maxJobs' => 2])->event('ended');

        self::assertSame('b', $this->outcome()->getJobId());
    }

    public function testACallForJobsWaitsAQuarterOfTheTimeThatItsLeasesWouldHave(): void
    {
        $this->acquire(self::leases()->setSessionTtl(self::seconds(2)), ['hang' => 60]);
        $this->work();

        $waits = array_map(fn (): float => (float) Times::seconds($this->acquired()->getWait()), [1, 2]);

        self::assertSame([0.0, 0.5], $waits);
    }

    public function testARenewalThatIsToldThatTheSessionIsOverIsMadeOnceMore(): void
    {
        $jobs = [self::job('a', 'pid'), self::job('b', 'sleep', '{"seconds":3}')];
        $this->acquire(self::leases($jobs[0]), self::leases($jobs[1]), ['hang' => 60]);
        $renewed = (new ExtendLeasesResponse())->setSessionTtl(self::seconds(30));
        $this->server->plan('WorkerService/ExtendLeases', self::status(9, 'SESSION_CLOSED'), $renewed);
        $this->server->plan(
            'WorkerService/SettleLeases',
            self::settled('a', SettleCode::SETTLE_CODE_OK),
            self::settled('b', SettleCode::SETTLE_CODE_OK),
        );
        $this->work(['maxJobs' => 2])->event('ended');

        self::assertSame('a', $this->outcome()->getJobId());
        self::assertSame('"slept"', $this->outcome()->getComplete()?->getResult());
    }

    public function testHandlersAreStoppedBeforeTheirLeasesMayBeGone(): void
    {
        $leases = self::leases(self::job('a', 'ignore'))->setSessionTtl(self::seconds(2));
        $this->acquire($leases, ['hang' => 60]);
        $worker = $this->work(['stopGrace' => 30.0]);
        $worker->event('ignoring');

        $this->server->stop();

        self::assertSame('lease_lost', $worker->event('ignored')['reason']);
    }

    public function testWhatAHandlerMakesOfALeaseThatMayBeGoneIsNotSettledAsComplete(): void
    {
        $leases = self::leases(self::job('a', 'comply'))->setSessionTtl(self::seconds(2));
        $this->acquire($leases, ['hang' => 60]);
        $this->server->plan('WorkerService/ExtendLeases', ['hang' => 60]);
        $this->work()->event('complied');

        self::assertSame('release', $this->outcome()->getOutcome());
    }

    public function testNoMoreHandlersRunThanThereAreSlotsWhateverIsLeased(): void
    {
        $this->acquire(self::leases(self::job('a', 'ignore'), self::job('b', 'echo')), ['hang' => 60]);
        $this->work(['slots' => 1]);

        $outcome = $this->outcome();
        self::assertSame('b', $outcome->getJobId());
        self::assertSame(ReleaseReason::RELEASE_REASON_OVERLOAD, $outcome->getRelease()?->getReason());
    }

    public function testTheBoundOfResultsIsAskedForUntilItIsTold(): void
    {
        $limits = (new Limits())->setMaxResultBytes(500_000);
        $info = (new GetServerInfoResponse())->setLimits($limits);
        $this->server->plan('ServerService/GetServerInfo', StatusCode::Unavailable, $info);
        $this->acquire(self::leases(), ['hang' => 5, 'messages' => [base64_encode(
            self::leases(self::job('a', 'echo', '"' . str_repeat('x', 300_000) . '"'))->serializeToString(),
        )]], ['hang' => 60]);
        $this->work();

        self::assertSame(300_002, strlen((string) $this->outcome()->getComplete()?->getResult()));
    }

    public function testAWorkerThatLeavesGivesBackWhatItsLastCallHasBrought(): void
    {
        $this->acquire(self::leases(), ['hang' => 60], self::leases(self::job('a', 'echo')));
        $this->server->plan('WorkerService/SettleLeases', self::settled('a', SettleCode::SETTLE_CODE_OK));
        $worker = $this->work();
        $this->acquired();
        $waiting = $this->acquired();

        $worker->signal(SIGTERM);

        self::assertEquals($waiting->getAcquireSeq(), $this->acquired()->getAcquireSeq());
        self::assertSame(ReleaseReason::RELEASE_REASON_SHUTDOWN, $this->outcome()->getRelease()?->getReason());
        self::assertSame('signal', $worker->event('ended')['reason']);
    }

    public function testAJobWithoutAHandlerIsReleased(): void
    {
        $this->acquire(self::leases(self::job('a', 'nobodys')), ['hang' => 60]);
        $this->work();

        self::assertSame(ReleaseReason::RELEASE_REASON_UNKNOWN_KIND, $this->outcome()->getRelease()?->getReason());
    }

    public function testAnOperatorsDrainEndsTheWorkerOnceItIsDone(): void
    {
        $this->acquire(self::leases(self::job('a', 'echo', '1'))->setDrain(true));
        $this->server->plan('WorkerService/SettleLeases', self::settled('a', SettleCode::SETTLE_CODE_OK));

        self::assertSame('drained', $this->work()->event('ended')['reason']);
        self::assertSame('1', $this->outcome()->getComplete()?->getResult());
    }

    /** @param array<string, mixed> $settings */
    private function work(array $settings = []): Child
    {
        $command = [PHP_BINARY, __DIR__ . '/programs/worker.php', 'main', (string) json_encode((object) $settings)];
        return $this->workers[] = new Child($command, ['PROTOJOBS_ADDRESS' => $this->server->address()]);
    }

    private function acquire(mixed ...$answers): void
    {
        $this->server->plan('WorkerService/AcquireLeases', ...$answers);
    }

    private function acquired(): AcquireLeasesRequest
    {
        $request = new AcquireLeasesRequest();
        $request->mergeFromString($this->server->call('WorkerService/AcquireLeases')['request']);
        return $request;
    }

    private function outcome(): SettleItem
    {
        $request = new SettleLeasesRequest();
        $request->mergeFromString($this->server->call('WorkerService/SettleLeases')['request']);
        return $request->getSettle()?->getItems()[0] ?? throw new \LogicException('an empty settle');
    }

    private static function leases(LeasedJob ...$jobs): AcquireLeasesResponse
    {
        return (new AcquireLeasesResponse())->setLeases($jobs)->setSessionTtl(self::seconds(30));
    }

    private static function job(string $id, string $kind, string $payload = '', int $attempt = 1): LeasedJob
    {
        $spec = (new JobSpec())->setKind($kind)->setQueue('main')->setPayload($payload);
        return (new LeasedJob())->setJobId($id)->setAttempt($attempt)->setSpec($spec)->setMaxRetries(3);
    }

    private static function settled(string $id, int $code, int $attempt = 1): SettleLeasesResponse
    {
        $item = (new SettledItem())->setJobId($id)->setAttempt($attempt)->setCode($code);
        return (new SettleLeasesResponse())->setSettled((new Settled())->setItems([$item]));
    }

    private static function seconds(int $seconds): Duration
    {
        return (new Duration())->setSeconds($seconds);
    }

    private static function status(int $code, string $reason): Status
    {
        $info = (new ErrorInfo())->setReason($reason)->setDomain('protojobs.dev');
        $any = (new Any())->setTypeUrl('type.googleapis.com/google.rpc.ErrorInfo')->setValue($info->serializeToString());
        return (new Status())->setCode($code)->setDetails([$any]);
    }
}
