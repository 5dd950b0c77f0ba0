<?php

declare(strict_types=1);

namespace ProtoJobs\Tests\Support;

use Google\Protobuf\Internal\Message;
use Google\Rpc\Status;
use ProtoJobs\Transport\StatusCode;

/** A server that does what a test tells it: see fake_server.py. */
final class FakeServer
{
    private readonly Child $child;
    public readonly int $port;

    /** @param list<string> $files key, certificate and CA, for TLS */
    public function __construct(string $address = '127.0.0.1:0', array $files = [])
    {
        $this->child = new Child([Workspace::program('python'), __DIR__ . '/../fake_server.py', $address, ...$files]);
        $this->port = json_decode($this->child->line(), true)['port'];
    }

    public function address(): string
    {
        return "127.0.0.1:{$this->port}";
    }

    /** Plans the answers of a method of protojobs.v1: messages, exceptions by code, or raw answers of fake_server.py. */
    public function plan(string $method, Message|StatusCode|Status|array ...$answers): void
    {
        $plan = ['method' => "/protojobs.v1.$method", 'answers' => array_map(self::answer(...), array_values($answers))];
        $this->child->say((string) json_encode($plan));
        $this->child->line(static fn (string $line): bool => isset(json_decode($line, true)['planned']));
    }

    /**
     * Returns the next call.
     *
     * @return array{method: string, request: string, metadata: array<string, string>, timeout: float|null}
     */
    public function call(?string $method = null): array
    {
        $line = $this->child->line(static function (string $line) use ($method): bool {
            $call = json_decode($line, true);
            return isset($call['request']) && ($method === null || $call['method'] === "/protojobs.v1.$method");
        });
        $call = json_decode($line, true);
        return [...$call, 'request' => base64_decode($call['request'])];
    }

    public function stop(): void
    {
        $this->child->kill();
    }

    /** @return array<string, mixed> */
    private static function answer(Message|StatusCode|array $answer): array
    {
        return match (true) {
            is_array($answer) => $answer,
            $answer instanceof StatusCode => ['code' => $answer->value, 'message' => 'planned'],
            $answer instanceof Status => [
                'code' => $answer->getCode(),
                'message' => $answer->getMessage(),
                'details' => base64_encode($answer->serializeToString()),
            ],
            default => ['messages' => [base64_encode($answer->serializeToString())]],
        };
    }
}
