<?php

declare(strict_types=1);

namespace ProtoJobs\Worker;

use ProtoJobs\Payload\Codec;
use ProtoJobs\Times;
use Protojobs\V1\LeasedJob;
use Psr\Log\LoggerInterface;

/**
 * What runs in the process of a handler: one job after the other, until the worker closes its end.
 *
 * @internal
 */
final class HandlerProgram
{
    /** @var list<array<string, mixed>> what the worker has said and nobody has looked at */
    private array $inbox = [];
    private readonly Interruption $interruption;
    private ?JobContext $context = null;
    private ?Handler $handler = null;
    private ?\Throwable $error = null;
    private float $seconds = 0.0;

    public function __construct(
        private readonly Pipe $pipe,
        private readonly Registry $registry,
        private readonly Codec $codec,
        private readonly Listeners $listeners,
        private readonly LoggerInterface $logger,
    ) {
        $this->interruption = new Interruption($this->look(...));
    }

    /** Runs jobs until the worker closes its end or dies. */
    public function serve(): void
    {
        pcntl_async_signals(true);
        pcntl_signal(SIGUSR2, fn () => $this->interruption->signalled());
        pcntl_sigprocmask(SIG_UNBLOCK, [SIGUSR2]);
        register_shutdown_function($this->explain(...));
        while (($message = $this->next()) !== null) {
            match ($message['op']) {
                'run' => $this->run($message),
                'stored' => $this->stored($message),
                'dismiss' => $this->pipe->sendAll(['op' => 'ready']),
                default => null, // a stop for what has ended
            };
        }
    }

    /** @return array<string, mixed>|null */
    private function next(): ?array
    {
        while ($this->inbox === []) {
            array_push($this->inbox, ...$this->pipe->poll());
            if ($this->inbox === [] && !$this->pipe->isOpen()) {
                return null;
            }
            if ($this->inbox === []) {
                Pipe::select([$this->pipe], [], null);
            }
        }
        return array_shift($this->inbox);
    }

    /** @param array<string, mixed> $message */
    private function take(array $message): void
    {
        $job = new LeasedJob();
        $job->mergeFromString($message['job']);
        $this->handler = $this->registry->find($message['kind'])
            ?? throw new \LogicException('the worker sends only what it has a handler for');
        $this->context = new JobContext($job, $this->codec, $this->handler->timeout, $this->tell(...));
        [$this->error, $this->seconds] = [null, 0.0];
    }

    /** @param array<string, mixed> $message */
    private function run(array $message): void
    {
        $this->take($message);
        $this->listeners->emit('job.processing', $this->eventData());
        $this->look(); // a stop may have come before it began
        $began = Times::monotonic();
        [$outcome, $this->error, $value] = Execution::run($this->handler(), $this->context(), $this->interruption);
        $this->seconds = Times::monotonic() - $began;
        if ($outcome->said === 'cancel') {
            $about = ['job_id' => $this->context()->jobId(), 'why' => $this->error?->getMessage()];
            $this->logger->info('cancelled by its handler', $about);
        }
        if ($outcome->type === 'complete') {
            $about = [...$this->eventData(), 'execution_time' => $this->seconds, 'result' => $value];
            $this->listeners->emit('job.processed', $about);
        }
        $this->pipe->sendAll(['op' => 'ended', 'outcome' => $outcome->toArray(), 'memory' => memory_get_usage(true)]);
    }

    /**
     * A failure is stored: exactly now its hooks run.
     *
     * @param array<string, mixed> $message
     */
    private function stored(array $message): void
    {
        if ($this->context?->jobId() !== $message['jobId'] || $this->context->attempt() !== $message['attempt']) {
            $this->take($message); // its own process was killed, or has died
        }
        $error = $this->error ?? new JobError($message['type'], $message['text']);
        $failed = $this->handler()->failed;
        if ($message['final'] && $failed !== null) {
            try {
                $failed($this->context(), $error);
            } catch (\Throwable $broken) {
                $this->logger->error('failed() failed', ['job_id' => $this->context()->jobId(), 'exception' => $broken]);
            }
        }
        $this->listeners->emit('job.failed', [
            ...$this->eventData(),
            'execution_time' => $this->seconds,
            'exception' => $error,
            'final' => $message['final'],
            'next_at' => $message['next'] === null ? null : new \DateTimeImmutable('@' . (int) $message['next']),
        ]);
        $this->pipe->sendAll(['op' => 'ready']);
    }

    /** Takes what the worker says, and stops the running job if that is for it. */
    private function look(): void
    {
        array_push($this->inbox, ...$this->pipe->poll());
        foreach ($this->inbox as $place => $message) {
            if ($message['op'] !== 'stop') {
                continue;
            }
            unset($this->inbox[$place]);
            $context = $this->context;
            if ($context?->jobId() === $message['jobId'] && $context->attempt() === $message['attempt']) {
                $context->stop(StopReason::from($message['reason']));
            }
        }
        $this->inbox = array_values($this->inbox);
    }

    /** @param array<string, mixed> $message */
    private function tell(array $message): void
    {
        $this->interruption->without(fn () => $this->pipe->sendAll($message));
    }

    /** Says why the process ends where PHP itself ends it: memory, a fatal error. */
    private function explain(): void
    {
        $error = error_get_last();
        if ($error !== null && ($error['type'] & (E_ERROR | E_CORE_ERROR | E_COMPILE_ERROR)) !== 0 && $this->pipe->isOpen()) {
            $this->pipe->sendAll(['op' => 'dying', 'message' => $error['message']]);
        }
    }

    private function context(): JobContext
    {
        return $this->context ?? throw new \LogicException('no job was sent');
    }

    private function handler(): Handler
    {
        return $this->handler ?? throw new \LogicException('no job was sent');
    }

    /** @return array<string, mixed> */
    private function eventData(): array
    {
        $context = $this->context();
        $class = str_replace('.', '\\', $context->kind());
        return [
            'id' => $context->jobId(),
            'queue' => $context->queue(),
            'job_class' => $class,
            'job_name' => substr((string) strrchr("\\$class", '\\'), 1),
            'data' => $context->dataOrNull(),
            'attempts' => $context->failures() + 1,
            'context' => $context,
        ];
    }
}
