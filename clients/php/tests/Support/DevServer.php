<?php

declare(strict_types=1);

namespace ProtoJobs\Tests\Support;

use ProtoJobs\Client;

/** A real server on a SQLite file, as `protojobs dev` starts it. May be killed and started again. */
final class DevServer
{
    private static ?self $shared = null;

    private ?Child $child = null;
    private readonly string $data;

    private function __construct(public readonly int $port)
    {
        $this->data = Workspace::directory() . '/jobs.db';
        $this->start();
    }

    /** Returns the server that tests share which only use it. */
    public static function shared(): self
    {
        return self::$shared ??= self::own();
    }

    /** Returns a server of the test's own. */
    public static function own(): self
    {
        return new self(self::freePort());
    }

    public function address(): string
    {
        return "127.0.0.1:{$this->port}";
    }

    public function start(): void
    {
        $command = [Workspace::program('protojobs'), 'dev', '--data', $this->data, '--address', $this->address()];
        $this->child = new Child([...$command, '--admin-address', '127.0.0.1:' . self::freePort()]);
        $client = new Client($this->address());
        $client->serverInfo(); // is repeated until the server is there
    }

    public function kill(): void
    {
        $this->child?->kill();
        $this->child = null;
    }

    private static function freePort(): int
    {
        $socket = stream_socket_server('tcp://127.0.0.1:0') ?: throw new \RuntimeException('no port');
        $name = (string) stream_socket_get_name($socket, false);
        fclose($socket);
        return (int) substr((string) strrchr($name, ':'), 1);
    }
}
