<?php

declare(strict_types=1);

namespace ProtoJobs\Worker;

use ProtoJobs\Exception\ProtoJobsException;
use ProtoJobs\Times;
use ProtoJobs\Transport\Call;
use ProtoJobs\Transport\Transport;

/**
 * A process of its own that speaks with the server, one call after the other. Handlers are forked from the worker, so
 * the worker itself must hold no connection; and while a handler works, renewals go on here.
 *
 * @internal
 */
final class Link
{
    /** A worker that has not said a word for so long while it waits for an answer is frozen: what came would be lost on it. */
    private const FROZEN_SECONDS = 5.0;

    /** @var list<int> processes to end if the worker dies */
    private array $guarded = [];
    /** @var list<array<string, mixed>> */
    private array $inbox = [];
    private float $heardAt = 0.0;

    private function __construct(private readonly Pipe $pipe, private readonly Transport $transport, private readonly int $worker)
    {
    }

    /** Makes calls until the worker closes its end or dies. */
    public static function serve(Pipe $pipe, Transport $transport, int $worker): void
    {
        $link = new self($pipe, $transport, $worker);
        while ($link->isWanted()) {
            while (($message = $link->next()) !== null) {
                $link->obey($message);
            }
            if ($pipe->isOpen()) {
                Pipe::select([$pipe], [], 1.0);
            }
        }
        // The last it said may name a process that it forked just before it died.
        $link->listen();
        // Whoever killed the worker meant its handlers, too: their leases run out, and others begin the jobs anew.
        foreach ($link->guarded as $pid) {
            posix_kill($pid, SIGKILL);
        }
    }

    private function isWanted(): bool
    {
        return $this->pipe->isOpen() && posix_getppid() === $this->worker;
    }

    /** @return array<string, mixed>|null the next call to make */
    private function next(): ?array
    {
        $this->listen();
        return array_shift($this->inbox);
    }

    /** Hears what the worker says; also in the middle of a call. */
    private function listen(): void
    {
        foreach ($this->pipe->poll() as $message) {
            $this->heardAt = Times::monotonic();
            match ($message['op']) {
                'guard' => $this->guarded = $message['pids'],
                'call' => $this->inbox[] = $message,
                default => null, // a sign of life
            };
        }
    }

    private function isAwaited(): bool
    {
        $this->listen();
        return $this->isWanted() && Times::monotonic() < $this->heardAt + self::FROZEN_SECONDS;
    }

    /** @param array<string, mixed> $message */
    private function obey(array $message): void
    {
        $call = new Call($message['method'], $message['request'], $message['timeout'], isWanted: $this->isAwaited(...));
        try {
            $this->pipe->sendAll(['answer' => $this->transport->unary($call)]);
        } catch (ProtoJobsException $error) {
            $this->pipe->sendAll(['error' => [
                'class' => $error::class,
                'message' => $error->getMessage(),
                'status' => $error->status()->value,
                'reason' => $error->reason(),
                'metadata' => $error->metadata(),
                'retryAfter' => $error->retryAfter(),
            ]]);
        }
    }
}
