<?php

declare(strict_types=1);

namespace ProtoJobs\Tests;

use PHPUnit\Framework\TestCase;
use ProtoJobs\Jitter;
use ProtoJobs\JobRequest;
use ProtoJobs\OnConflict;
use ProtoJobs\Payload\PlainCodec;
use ProtoJobs\RetryPolicy;
use ProtoJobs\Specs;
use ProtoJobs\Unique;
use ProtoJobs\UniqueScope;

final class JobRequestTest extends TestCase
{
    public function testOptionsMergeOverThoseOfTheJob(): void
    {
        $request = (new JobRequest('kind', retry: new RetryPolicy(initialBackoff: 5), labels: ['a' => '1'], delay: 10))
            ->retries(2)
            ->label('b', '2')
            ->at(new \DateTimeImmutable('2030-01-01T00:00:00Z'));

        self::assertSame([2, 5], [$request->retry?->maxRetries, $request->retry?->initialBackoff]);
        self::assertSame(['a' => '1', 'b' => '2'], $request->labels);
        self::assertNull($request->delay);
    }

    public function testTheNameOfAClassIsItsKindAlsoWhereTheProducerDoesNotHaveIt(): void
    {
        self::assertSame('App.Jobs.SendEmail', JobRequest::of('App\\Jobs\\SendEmail')->kind);
    }

    public function testEveryOptionReachesTheSpec(): void
    {
        $request = new JobRequest(
            'kind',
            ['text' => 'žluť'],
            queue: 'mail',
            runAt: new \DateTimeImmutable('2030-01-01T00:00:00.123456Z'),
            priority: 9,
            headers: ['h' => 'v'],
            labels: ['l' => 'w'],
            retry: new RetryPolicy(3, 0.25, 1.5, 10, Jitter::None, 60),
            runTimeout: new \DateInterval('PT2M'),
            expireAt: new \DateTimeImmutable('2031-01-01T00:00:00Z'),
            unique: new Unique('key', UniqueScope::Window, 60, OnConflict::Replace),
            fairnessKey: 'f',
            concurrencyKey: 'c',
            resultRetention: 1.5,
            onComplete: [new JobRequest('next')],
            onFailed: ['alarm'],
        );

        $spec = Specs::make($request, '01990000-0000-7000-8000-000000000001', new PlainCodec(), ['traceparent' => 't']);

        self::assertSame('{"text":"žluť"}', $spec->getPayload());
        self::assertSame(['application/json', 'mail', 9], [$spec->getContentType(), $spec->getQueue(), $spec->getPriority()]);
        self::assertSame(['h' => 'v', 'traceparent' => 't'], self::sorted($spec->getHeaders()));
        self::assertSame(123_456_000, $spec->getRunTime()?->getNanos());
        self::assertSame(3, $spec->getRetry()?->getMaxRetries());
        self::assertSame(250_000_000, $spec->getRetry()?->getInitialBackoff()?->getNanos());
        self::assertEquals(120, $spec->getRunTimeout()?->getSeconds());
        self::assertEquals([3, 60], [$spec->getUnique()?->getScope(), $spec->getUnique()?->getWindow()?->getSeconds()]);
        self::assertSame(['f', 'c'], [$spec->getFairnessKey(), $spec->getConcurrencyKey()]);
        self::assertSame(['next', 'alarm'], [$spec->getOnComplete()[0]->getKind(), $spec->getOnFailed()[0]->getKind()]);
        self::assertSame('', $spec->getOnComplete()[0]->getId());
    }

    public function testDataThatIsNoJsonIsRefused(): void
    {
        $this->expectException(\ValueError::class);

        Specs::make(new JobRequest('kind', "\xff"), '', new PlainCodec());
    }

    /**
     * @param iterable<string, string> $map
     * @return array<string, string>
     */
    private static function sorted(iterable $map): array
    {
        $found = iterator_to_array($map);
        ksort($found);
        return $found;
    }
}
