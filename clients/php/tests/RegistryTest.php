<?php

declare(strict_types=1);

namespace ProtoJobs\Tests;

use PHPUnit\Framework\TestCase;
use ProtoJobs\Tests\Support\SampleJob;
use ProtoJobs\Worker\Handler;
use ProtoJobs\Worker\Registry;

final class RegistryTest extends TestCase
{
    public function testOnlyWhatIsRegisteredIsFound(): void
    {
        $registry = new Registry();
        $registry->add(Handler::ofClass(SampleJob::class, SampleJob::kind()));

        self::assertNotNull($registry->find(SampleJob::kind()));
        self::assertNull($registry->find('ProtoJobs.Tests.Support.NamedJob'));
        self::assertSame([SampleJob::kind()], $registry->kinds());
    }

    public function testANamespaceOpensItsJobClassesAndNothingElse(): void
    {
        $registry = new Registry();
        $registry->addNamespace('ProtoJobs\\Tests\\Support');

        self::assertNotNull($registry->find('ProtoJobs.Tests.Support.SampleJob'));
        self::assertNull($registry->find('ProtoJobs.Tests.Support.DevServer'), 'no job class');
        self::assertNull($registry->find('ProtoJobs.Job'), 'another namespace');
        self::assertNull($registry->find('ProtoJobs.Tests.SupportX.SampleJob'), 'a name that only begins alike');
        self::assertNull($registry->find('ProtoJobs.Tests.Support.NamedJob'), 'a class whose kind is another one');
        self::assertNull($registry->find('SplFileObject'));
        self::assertSame([], $registry->kinds(), 'all kinds are asked for');
    }

    public function testAMalformedKindIsRefused(): void
    {
        $this->expectException(\ValueError::class);

        (new Registry())->add(Handler::ofCallable('a b', static fn () => null, null, null, null, null));
    }
}
