<?php

declare(strict_types=1);

namespace ProtoJobs\Tests;

use PHPUnit\Framework\TestCase;
use ProtoJobs\Interop\Typed;
use ProtoJobs\JobRequest;
use ProtoJobs\Payload\Payload;
use ProtoJobs\Payload\PlainCodec;
use Protojobs\V1\JobSpec;
use Protojobs\V1\LeasedJob;
use ProtoJobs\Worker\Cancel;
use ProtoJobs\Worker\Complete;
use ProtoJobs\Worker\Discard;
use ProtoJobs\Worker\Execution;
use ProtoJobs\Worker\Handler;
use ProtoJobs\Worker\JobContext;
use ProtoJobs\Worker\JobStopped;
use ProtoJobs\Worker\Outcome;
use ProtoJobs\Worker\Retry;
use ProtoJobs\Worker\Snooze;
use ProtoJobs\Worker\StopReason;

final class ExecutionTest extends TestCase
{
    public function testWhatAHandlerReturnsIsItsResultAsJson(): void
    {
        self::assertSame('{"sent":true}', self::outcome(static fn () => ['sent' => true])->result);
        self::assertSame('raw', self::outcome(static fn () => new Payload('raw'))->result);
        self::assertNull(self::outcome(static fn () => null)->result);
    }

    public function testWhatItThrowsIsAFailureWithTypeMessageAndStack(): void
    {
        $outcome = self::outcome(static fn () => throw new \DomainException('žluť'));

        self::assertSame(['fail', true], [$outcome->type, $outcome->retryable]);
        self::assertSame(['DomainException', 'žluť'], [$outcome->error?->type, $outcome->error?->message]);
        self::assertStringContainsString(basename(__FILE__), (string) $outcome->error?->stack);
    }

    public function testErrorsOfPhpAndAnonymousClassesAreFailures(): void
    {
        self::assertSame('TypeError', self::outcome(static fn () => strlen([]))->error?->type);
        $odd = self::outcome(static fn () => throw new class ('odd') extends \Error {
        });
        self::assertSame('Error@anonymous', $odd->error?->type);
    }

    public function testVerdictsMayBeThrownOrReturned(): void
    {
        self::assertSame(['fail', 10.0, true], self::parts(self::outcome(static fn () => throw new Retry(10.0))));
        self::assertSame(['snooze', 60.0, true], self::parts(self::outcome(static fn () => new Snooze(60.0))));
        self::assertSame(['fail', null, false], self::parts(self::outcome(static fn () => throw new Discard())));
        self::assertSame(['cancelled', null, true], self::parts(self::outcome(static fn () => new Cancel())));
        $complete = self::outcome(static fn () => new Complete(1, [new JobRequest('next')]));
        self::assertSame(['complete', '1', 1], [$complete->type, $complete->result, count($complete->dispatch)]);
    }

    public function testAPayloadThatDoesNotFitFailsWithoutRetries(): void
    {
        foreach ([static fn (Typed $data) => $data->n, static fn (string $data) => $data] as $handler) {
            $outcome = self::outcome($handler, '{"n":"no number"}');
            self::assertSame(['fail', false], [$outcome->type, $outcome->retryable]);
        }
        self::assertSame('41', self::outcome(static fn (Typed $data) => $data->n, '{"n":41}')->result);
        self::assertFalse(self::outcome(static fn (array $data) => $data, 'no json')->retryable);
    }

    public function testThatAPayloadDoesNotFitIsToldWithoutShowingIt(): void
    {
        $build = static fn (mixed $data): mixed => throw new \DomainException("bad: {$data['word']}");
        $handler = Handler::ofCallable('kind', static fn (mixed $data) => $data, null, $build, null, null);

        $error = Execution::run($handler, self::context('{"word":"secret"}'))[0]->error;

        self::assertSame('DomainException', $error?->message);
        self::assertStringNotContainsString('secret', (string) $error?->stack);
        $typed = self::outcome(static fn (Typed $data) => 1, '{"n":"secret"}')->error?->message;
        self::assertStringContainsString('must be of type int, string given', (string) $typed);
    }

    public function testAHandlerThatTakesAPayloadOrNothingGetsByWithoutDecoding(): void
    {
        self::assertSame("\xff", self::outcome(static fn (Payload $payload) => $payload, "\xff")->result);
        self::assertSame('1', self::outcome(static fn () => 1, "\xff")->result);
        self::assertFalse(self::outcome(static fn (mixed $data) => $data, "\xff")->retryable);
    }

    public function testAStopThatComesWhileThePayloadIsBuiltIsNoFaultOfThePayload(): void
    {
        $build = static fn (): mixed => throw new JobStopped(StopReason::Shutdown);
        $handler = Handler::ofCallable('kind', static fn (mixed $data) => $data, null, $build, null, null);
        $context = self::context('{}');
        $context->stop(StopReason::Shutdown);

        self::assertSame('release', Execution::run($handler, $context)[0]->type);
    }

    public function testShouldRetryMayStopRetriesAndNotAddAny(): void
    {
        $handler = Handler::ofClass(Support\SampleJob::class, 'sample');
        $fail = static fn (int $failures): bool => Execution::run(
            $handler,
            self::context('{"do":"throw"}', $failures),
        )[0]->retryable;

        self::assertTrue($fail(0));
        self::assertFalse($fail(2), 'the third failed run is the last of three');
    }

    public function testAResultThatIsNoJsonFailsWithoutRetries(): void
    {
        $outcome = self::outcome(static fn () => "\xff");

        self::assertSame(['fail', false], [$outcome->type, $outcome->retryable]);
    }

    public function testAResultThatThrowsWhenItIsEncodedFailsWithoutRetries(): void
    {
        $broken = new class implements \JsonSerializable {
            public function jsonSerialize(): mixed
            {
                throw new \DomainException('not today');
            }
        };
        foreach ([$broken, new Complete(1, [new JobRequest('next', $broken)])] as $value) {
            $outcome = self::outcome(static fn () => $value);
            self::assertSame(['fail', false], [$outcome->type, $outcome->retryable]);
        }
    }

    public function testAnOutcomeGoesThroughASocketUnchanged(): void
    {
        $outcome = self::outcome(static fn () => throw new \DomainException('žluť'))->withCheckpoint("\x00half");

        self::assertEquals($outcome, Outcome::ofArray(unserialize(serialize($outcome->toArray()))));
        $fail = $outcome->toItem('id', 3)->getFail();
        self::assertSame(["\x00half", 'DomainException'], [$fail?->getCheckpoint(), $fail?->getError()?->getType()]);
    }

    /** @return array{string, float|null, bool} */
    private static function parts(Outcome $outcome): array
    {
        return [$outcome->type, $outcome->after, $outcome->retryable];
    }

    private static function outcome(callable $handler, string $payload = '{}'): Outcome
    {
        $handler = Handler::ofCallable('kind', $handler, null, null, null, null);
        return Execution::run($handler, self::context($payload))[0];
    }

    private static function context(string $payload, int $failures = 0): JobContext
    {
        $spec = (new JobSpec())->setKind('kind')->setQueue('queue')->setPayload($payload);
        $job = (new LeasedJob())->setSpec($spec)->setJobId('id')->setAttempt(1)->setFailures($failures)->setMaxRetries(2);
        return new JobContext($job, new PlainCodec());
    }
}
