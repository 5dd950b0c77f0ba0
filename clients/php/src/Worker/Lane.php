<?php

declare(strict_types=1);

namespace ProtoJobs\Worker;

use Google\Protobuf\Internal\Message;
use ProtoJobs\Exception\ProtoJobsException;
use ProtoJobs\Exception\UnavailableException;
use ProtoJobs\Times;
use ProtoJobs\Transport\StatusCode;
use ProtoJobs\Transport\Transport;

/**
 * The worker's side of a Link: one call at a time, whose answer comes to a callback.
 *
 * @internal
 */
final class Lane
{
    private const RESTART_SECONDS = 1.0;
    private const ALIVE_SECONDS = 1.0;

    private int $pid = 0;
    private ?Pipe $pipe = null;
    private ?\Closure $done = null;
    private float $sentAt = 0.0;
    private float $spokenAt = 0.0;
    private float $startedAt = -INF;
    /** @var list<int> */
    private array $guarded = [];

    public function __construct(private readonly Forks $forks, private readonly Transport $transport)
    {
    }

    /** A call is under way. */
    public function isBusy(): bool
    {
        return $this->done !== null;
    }

    public function pipe(): ?Pipe
    {
        return $this->pipe;
    }

    /**
     * Makes a call. $done gets the bytes of the answer or an error, and when the call was sent.
     *
     * @param \Closure(?string, ?ProtoJobsException, float): void $done
     */
    public function send(string $method, Message $request, float $timeout, \Closure $done): void
    {
        $this->done = $done;
        $this->sentAt = $this->spokenAt = Times::monotonic();
        if (!$this->isUp()) {
            return; // `collect` fails the call, as it does with those of a link that dies
        }
        $message = ['op' => 'call', 'method' => "/protojobs.v1.$method", 'timeout' => $timeout];
        $this->pipe?->send([...$message, 'request' => $request->serializeToString()]);
    }

    /**
     * Names the processes that shall not outlive the worker, whatever ends it.
     *
     * @param list<int> $pids
     */
    public function guard(array $pids): void
    {
        $this->guarded = $pids;
        if ($this->pipe?->isOpen()) {
            $this->pipe->send(['op' => 'guard', 'pids' => $pids]);
        } elseif ($pids !== []) {
            $this->isUp(); // not first with the next call: the worker may be killed before that
        }
    }

    /** Takes what has come. */
    public function collect(): void
    {
        $now = Times::monotonic();
        if ($this->done !== null && $now >= $this->spokenAt + self::ALIVE_SECONDS) {
            $this->spokenAt = $now;
            $this->pipe?->send(['op' => 'alive']);
        }
        $this->pipe?->flush();
        foreach ($this->pipe?->poll() ?? [] as $message) {
            $this->finish($message['answer'] ?? null, isset($message['error']) ? self::error($message['error']) : null);
        }
        if ($this->pipe !== null && !$this->pipe->isOpen()) {
            $this->forks->reap($this->pid);
            $this->pipe = null;
        }
        if ($this->pipe === null && $this->done !== null) {
            $this->finish(null, new UnavailableException('the process of the connection has ended', StatusCode::Unavailable));
        }
    }

    /** Ends the process, and the call that is under way. */
    public function close(): void
    {
        $this->done = null;
        if ($this->pipe !== null) {
            $this->pipe->close();
            $this->pipe = null;
            $this->forks->kill($this->pid);
        }
    }

    private function isUp(): bool
    {
        $now = Times::monotonic();
        if ($this->pipe === null && $now >= $this->startedAt + self::RESTART_SECONDS) {
            $this->startedAt = $now;
            $worker = (int) getmypid();
            try {
                [$this->pid, $this->pipe] = $this->forks->fork(fn (Pipe $pipe) => Link::serve($pipe, $this->transport, $worker));
            } catch (\RuntimeException) {
                return false; // `collect` fails the call, and another one tries again
            }
            $this->guard($this->guarded);
        }
        return $this->pipe !== null;
    }

    private function finish(?string $answer, ?ProtoJobsException $error): void
    {
        $done = $this->done;
        $this->done = null;
        if ($done !== null) {
            $done($answer, $error, $this->sentAt);
        }
    }

    /** @param array<string, mixed> $values */
    private static function error(array $values): ProtoJobsException
    {
        $class = $values['class'];
        $status = StatusCode::from($values['status']);
        return new $class($values['message'], $status, $values['reason'], $values['metadata'], $values['retryAfter']);
    }
}
