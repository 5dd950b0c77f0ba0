<?php

declare(strict_types=1);

namespace ProtoJobs\Tests;

use Google\Protobuf\Any;
use Google\Rpc\ErrorInfo;
use Google\Rpc\Status;
use PHPUnit\Framework\TestCase;
use ProtoJobs\Client;
use ProtoJobs\Dispatched;
use ProtoJobs\DispatchOutcome;
use ProtoJobs\Exception\JobIdTimeException;
use ProtoJobs\Exception\JobNotFoundException;
use ProtoJobs\Exception\PayloadTooLargeException;
use ProtoJobs\JobState;
use ProtoJobs\Options;
use ProtoJobs\Refused;
use ProtoJobs\Tests\Support\FakeServer;
use ProtoJobs\Transport\StatusCode;
use Protojobs\V1\DispatchBatchResponse;
use Protojobs\V1\DispatchRequest;
use Protojobs\V1\DispatchResponse;
use Protojobs\V1\DispatchResult;
use Protojobs\V1\Job;
use Protojobs\V1\JobEvent;
use Protojobs\V1\JobSpec;
use Protojobs\V1\WatchJobsRequest;
use Protojobs\V1\WatchJobsResponse;

final class ClientTest extends TestCase
{
    private FakeServer $server;

    protected function setUp(): void
    {
        $this->server = new FakeServer();
    }

    public function testADispatchIsRepeatedUnderItsIdUntilItIsAnswered(): void
    {
        $existing = (new DispatchResponse())->setJobId('id')->setOutcome(2)->setState(2);
        $this->server->plan('JobService/Dispatch', StatusCode::Unavailable, ['hang' => 30], $existing);
        $client = new Client(new Options($this->server->address(), dispatchDeadline: 0.5));

        $dispatched = $client->dispatch('kind', ['a' => 1], queue: 'mail');

        $ids = array_map(fn (): string => $this->spec()->getId(), range(1, 3));
        self::assertCount(1, array_unique($ids));
        self::assertSame([DispatchOutcome::Existing, JobState::Pending], [$dispatched->outcome, $dispatched->state]);
    }

    public function testAnErrorForGoodIsThrownAtOnceByItsClass(): void
    {
        $this->server->plan('JobService/GetJob', self::status(5, 'JOB_NOT_FOUND'));

        $this->expectException(JobNotFoundException::class);
        (new Client($this->server->address()))->get('id');
    }

    public function testAClockThatIsWrongIsCorrectedOnce(): void
    {
        $answer = (new DispatchResponse())->setJobId('id')->setOutcome(1);
        $refusal = self::status(3, 'JOB_ID_TIME', ['server_time' => '2030-01-01T00:00:00Z']);
        $this->server->plan('JobService/Dispatch', $refusal, $answer);

        (new Client($this->server->address()))->dispatch('kind');

        self::assertNotSame($this->spec()->getId(), $id = $this->spec()->getId());
        $time = hexdec(str_replace('-', '', substr($id, 0, 13))) / 1000;
        self::assertEqualsWithDelta(strtotime('2030-01-01T00:00:00Z'), $time, 60);
    }

    public function testAnIdOfTheCallerIsNotChanged(): void
    {
        $this->server->plan('JobService/Dispatch', self::status(3, 'JOB_ID_TIME', ['server_time' => '2030-01-01T00:00:00Z']));

        $this->expectException(JobIdTimeException::class);
        (new Client($this->server->address()))->dispatch('kind', jobId: '01990000-0000-7000-8000-000000000001');
    }

    public function testManyJobsGoInBatchesOfAThousandAndARefusalIsTheResultOfItsItem(): void
    {
        $answer = static function (int $count, ?int $refused = null): DispatchBatchResponse {
            $results = [];
            for ($place = 0; $place < $count; $place++) {
                $result = (new DispatchResult())->setJobId("job $place");
                $results[] = $place === $refused ? $result->setError(self::status(3, 'INVALID_FIELD')) : $result->setOutcome(1);
            }
            return (new DispatchBatchResponse())->setResults($results);
        };
        $this->server->plan('JobService/DispatchBatch', $answer(1000), $answer(5, 3));
        $client = new Client($this->server->address());

        $results = iterator_to_array($client->dispatchMany(array_fill(0, 1005, 'kind')));

        self::assertCount(1005, $results);
        self::assertInstanceOf(Refused::class, $results[1003]);
        self::assertInstanceOf(Dispatched::class, $results[1004]);
    }

    public function testARequestThatFitsInNoMessageIsRefusedHere(): void
    {
        $client = new Client(new Options($this->server->address(), maxMessageBytes: 65_536));

        $this->expectException(PayloadTooLargeException::class);
        $client->dispatch('kind', str_repeat('x', 70_000));
    }

    public function testAWatchGoesOnFromItsCursorAfterALostConnection(): void
    {
        $event = static fn (string $cursor): WatchJobsResponse => (new WatchJobsResponse())->setCursor($cursor)->setEvents([
            (new JobEvent())->setCursor($cursor)->setType('job.processed')->setJob((new Job())->setId("job $cursor")),
        ]);
        $first = ['messages' => [base64_encode($event('one')->serializeToString())], 'code' => 14];
        $this->server->plan('JobService/WatchJobs', $first, $event('two'), ['hang' => 30]);
        $seen = [];
        foreach ((new Client($this->server->address()))->watch() as $change) {
            $seen[] = $change->jobId;
            if (count($seen) === 2) {
                break;
            }
        }

        self::assertSame(['job one', 'job two'], $seen);
        $cursors = array_map(function (): string {
            $request = new WatchJobsRequest();
            $request->mergeFromString($this->server->call('JobService/WatchJobs')['request']);
            return $request->getCursor();
        }, range(1, 2));
        self::assertSame(['', 'one'], $cursors);
    }

    private function spec(): JobSpec
    {
        $request = new DispatchRequest();
        $request->mergeFromString($this->server->call('JobService/Dispatch')['request']);
        return $request->getSpec() ?? throw new \LogicException('no spec');
    }

    /** @param array<string, string> $metadata */
    private static function status(int $code, string $reason, array $metadata = []): Status
    {
        $info = (new ErrorInfo())->setReason($reason)->setDomain('protojobs.dev')->setMetadata($metadata);
        $any = (new Any())->setTypeUrl('type.googleapis.com/google.rpc.ErrorInfo')->setValue($info->serializeToString());
        return (new Status())->setCode($code)->setMessage('planned')->setDetails([$any]);
    }
}
