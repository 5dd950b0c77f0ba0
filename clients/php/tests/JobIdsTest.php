<?php

declare(strict_types=1);

namespace ProtoJobs\Tests;

use PHPUnit\Framework\TestCase;
use ProtoJobs\JobIds;

final class JobIdsTest extends TestCase
{
    public function testAnIdIsAVersion7OfTheCurrentTime(): void
    {
        $id = (new JobIds())->next();

        self::assertMatchesRegularExpression('/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/', $id);
        self::assertEqualsWithDelta(microtime(true), hexdec(str_replace('-', '', substr($id, 0, 13))) / 1000, 60);
    }

    public function testIdsFollowTheTimeOfTheServerOnceItIsLearned(): void
    {
        $ids = new JobIds();

        self::assertTrue($ids->learn('2030-01-01T00:00:00Z'));
        $time = hexdec(str_replace('-', '', substr($ids->next(), 0, 13))) / 1000;
        self::assertEqualsWithDelta(strtotime('2030-01-01T00:00:00Z'), $time, 60);
    }

    public function testWhatIsNoTimeIsNotLearned(): void
    {
        self::assertFalse((new JobIds())->learn(''));
    }
}
