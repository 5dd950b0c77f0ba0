<?php

declare(strict_types=1);

namespace ProtoJobs\Tests;

use PHPUnit\Framework\TestCase;
use ProtoJobs\JobRequest;
use ProtoJobs\Tests\Support\NamedJob;
use ProtoJobs\Tests\Support\SampleJob;

final class JobTest extends TestCase
{
    public function testMaxRetriesAreRunsAndTheContractCountsWhatComesAfterTheFirst(): void
    {
        $request = (new SampleJob())->request(['a' => 1]);

        self::assertSame([2, 7], [$request->retry?->maxRetries, $request->retry?->initialBackoff]);
        self::assertSame([20, 'samples'], [$request->runTimeout, $request->queue]);
    }

    public function testFluentOptionsChangeTheJob(): void
    {
        $request = (new SampleJob())->onQueue('urgent')->retries(5)->retryAfter(60)->timeout(120)->request();

        self::assertSame(['urgent', 4, 60, 120], [
            $request->queue, $request->retry?->maxRetries, $request->retry?->initialBackoff, $request->runTimeout,
        ]);
    }

    public function testTheKindIsTheClassWithDotsUnlessItHasAName(): void
    {
        self::assertSame('ProtoJobs.Tests.Support.SampleJob', SampleJob::kind());
        self::assertSame('named', NamedJob::kind());
        self::assertSame('named', JobRequest::of(NamedJob::class)->kind);
    }

    public function testOneRunMeansNoRetry(): void
    {
        self::assertSame(0, (new SampleJob())->retries(1)->request()->retry?->maxRetries);
        self::assertSame(0, (new SampleJob())->retries(0)->request()->retry?->maxRetries);
    }

    public function testThereIsNoContextOutsideOfAWorker(): void
    {
        $this->expectException(\LogicException::class);

        (new SampleJob())->context();
    }
}
