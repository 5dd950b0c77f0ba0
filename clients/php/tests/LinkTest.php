<?php

declare(strict_types=1);

namespace ProtoJobs\Tests;

use PHPUnit\Framework\TestCase;
use ProtoJobs\Transport\Transport;
use ProtoJobs\Worker\Link;
use ProtoJobs\Worker\Pipe;

/** The process that speaks for a worker. */
final class LinkTest extends TestCase
{
    public function testTheLastThingThatADeadWorkerSaidNamesWhomToEnd(): void
    {
        [$worker, $link] = Pipe::pair();
        $handler = proc_open(['sleep', '60'], [], $pipes);
        self::assertIsResource($handler);
        $worker->send(['op' => 'guard', 'pids' => [proc_get_status($handler)['pid']]]);

        Link::serve($link, $this->createStub(Transport::class), worker: (int) getmypid()); // nobody is a parent of its own

        while (($status = proc_get_status($handler))['running']) {
            usleep(1000);
        }
        self::assertSame([true, SIGKILL], [$status['signaled'], $status['termsig']]);
    }
}
