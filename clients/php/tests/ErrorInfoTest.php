<?php

declare(strict_types=1);

namespace ProtoJobs\Tests;

use PHPUnit\Framework\TestCase;
use ProtoJobs\Worker\ErrorInfo;

final class ErrorInfoTest extends TestCase
{
    public function testTextIsCutToBytesAndNeverInsideACharacter(): void
    {
        self::assertSame('žl', ErrorInfo::cut('žluť', 3));
        self::assertSame('a', ErrorInfo::cut('až', 2));
        self::assertSame('a?b', ErrorInfo::cut("a\xffb", 10));
        self::assertSame(16 * 1024, strlen((new ErrorInfo('t', '', str_repeat('s', 20_000)))->stack));
        self::assertSame(4 * 1024, strlen((new ErrorInfo('t', str_repeat('ž', 20_000)))->message));
    }

    public function testTheStackTellsNoArguments(): void
    {
        $fail = static fn (string $secret): ErrorInfo => ErrorInfo::of(new \RuntimeException('no'));

        self::assertStringNotContainsString('hunter2', $fail('hunter2')->stack);
    }
}
