<?php

declare(strict_types=1);

namespace ProtoJobs\Worker;

use ProtoJobs\Payload\Codec;
use ProtoJobs\Times;
use Protojobs\V1\LeasedJob;
use Protojobs\V1\ReleaseReason;
use Psr\Log\LoggerInterface;

/**
 * The jobs of a session: begins them, notes how they end, and watches over what runs.
 *
 * @internal
 */
final class Holding
{
    private const MAX_CHECKPOINT_BYTES = 64 * 1024;
    private const REST_SECONDS = 2.0;

    public readonly Ledger $ledger;
    public Phase $phase = Phase::Working;
    /** Handlers that have ended. */
    public int $processed = 0;
    /** Handlers that have begun. */
    public int $started = 0;
    public float $lastBusy;
    /** Largest memory that a handler's process has told. */
    public int $memory = 0;
    public int $maxResultBytes = 256 * 1024;
    /** Until when no process can be had. */
    private float $restsUntil = 0.0;

    public function __construct(
        private readonly WorkerOptions $options,
        private readonly Registry $registry,
        private readonly Processes $processes,
        private readonly Listeners $listeners,
        private readonly Codec $codec,
        private readonly Observer $observer,
        private readonly LoggerInterface $logger,
    ) {
        $this->ledger = new Ledger();
        $this->lastBusy = Times::monotonic();
    }

    /** How many jobs may be asked for. */
    public function room(): int
    {
        if ($this->phase !== Phase::Working) {
            return 0;
        }
        $room = Times::monotonic() < $this->restsUntil ? 0 : $this->options->slots - $this->processes->busy();
        return max(0, min($room, ($this->options->maxJobs ?? PHP_INT_MAX) - $this->started));
    }

    public function isUsedUp(): bool
    {
        return $this->options->maxJobs !== null && $this->started >= $this->options->maxJobs;
    }

    /** Nothing runs, and every outcome is answered. */
    public function isEmpty(): bool
    {
        return $this->ledger->isEmpty() && $this->processes->busy() === 0;
    }

    /** Takes a leased job: begins it, or gives it back. */
    public function take(LeasedJob $job, float $now): void
    {
        $handler = $this->registry->find((string) $job->getSpec()?->getKind());
        $timeout = (new JobContext($job, $this->codec, $handler?->timeout))->runTimeout();
        $lease = new Lease($job->getJobId(), $job->getAttempt(), $job, $timeout, $now);
        if (!$this->ledger->add($lease, $superseded)) {
            return;
        }
        if ($superseded !== null) {
            $this->processes->stop($superseded, StopReason::LeaseLost, $now);
            if (!$superseded->isSent) {
                $this->processes->dismiss($superseded);
            }
        }
        $this->lastBusy = $now;
        if ($handler === null) {
            $this->logger->warning('no handler for kind', ['job_id' => $lease->jobId, 'kind' => $lease->kind()]);
            $this->ledger->end($lease, Outcome::release(ReleaseReason::RELEASE_REASON_UNKNOWN_KIND));
        } elseif ($this->phase !== Phase::Working) {
            $this->ledger->end($lease, Outcome::release(ReleaseReason::RELEASE_REASON_SHUTDOWN));
        } elseif ($this->processes->busy() >= $this->options->slots || !$this->start($lease, $now)) {
            $this->ledger->end($lease, Outcome::release(ReleaseReason::RELEASE_REASON_OVERLOAD));
        } else {
            $this->started++;
            $this->observer->started(new JobContext($job, $this->codec, $handler->timeout));
        }
    }

    private function start(Lease $lease, float $now): bool
    {
        try {
            $this->processes->start($lease);
            return true;
        } catch (\RuntimeException $error) {
            $this->restsUntil = $now + self::REST_SECONDS;
            $this->logger->error('job given back: ' . $error->getMessage(), ['job_id' => $lease->jobId]);
            return false;
        }
    }

    /** Takes what the processes of handlers have said. */
    public function collect(float $now): void
    {
        foreach ($this->processes->collect() as [$process, $message]) {
            $lease = $process->lease;
            match ($message['op']) {
                'ended' => $this->ended($process, $message, $now),
                'progress' => $lease === null ?: $lease->progress = [$message['ratio'], $message['message']],
                'checkpoint' => $lease === null ?: $lease->checkpoint = $message['checkpoint'],
                'ready' => [$process->isConfirming, $process->confirms] = [false, null],
                'dying' => $process->lastWords = $message['message'],
                default => $this->died($process, $message['code'], $now),
            };
        }
    }

    /** Enforces run timeouts, and ends processes whose handlers do not stop. */
    public function watch(float $now): void
    {
        foreach ($this->ledger->running() as $lease) {
            if ($now >= $lease->beganAt + $lease->runTimeout) {
                $this->processes->stop($lease, StopReason::Timeout, $now);
            }
        }
        foreach ($this->processes->running() as $process) {
            $lease = $process->lease;
            if ($lease?->stopReason !== null && $now >= $lease->stoppedAt + $this->options->stopGrace) {
                $this->kill($process, $lease->stopReason, $now);
            }
        }
    }

    /** Asks every running handler to stop. */
    public function stopAll(StopReason $reason, float $now): void
    {
        foreach ($this->ledger->running() as $lease) {
            $this->processes->stop($lease, $reason, $now);
        }
    }

    /** Ends every handler at once; its job goes back. */
    public function killAll(float $now): void
    {
        foreach ($this->processes->running() as $process) {
            $this->kill($process, $process->lease?->stopReason ?? StopReason::Shutdown, $now);
        }
    }

    /** Stops a handler whose lease is not ours any more; whatever it says is dropped. */
    public function lose(Lease $lease, float $now): void
    {
        if ($lease->state === LeaseState::Running) {
            $this->ledger->forget($lease);
            $this->processes->stop($lease, StopReason::LeaseLost, $now);
        }
    }

    /** Asks one handler to stop. */
    public function stop(Lease $lease, StopReason $reason, float $now): void
    {
        if ($lease->state === LeaseState::Running) {
            $this->processes->stop($lease, $reason, $now);
        }
    }

    /** Forgets everything: the session is over. */
    public function reset(float $now): void
    {
        foreach ($this->ledger->all() as $lease) {
            $this->lose($lease, $now);
            $this->processes->dismiss($lease);
            $this->ledger->forget($lease);
        }
    }

    /** Notes that an outcome is stored: the hooks of a failure run now. */
    public function stored(Lease $lease, bool $final, ?float $next): void
    {
        $this->ledger->forget($lease);
        $outcome = $lease->outcome;
        if ($outcome?->type === 'fail' && $this->wantsToKnow($lease)) {
            $told = ['type' => (string) $outcome->error?->type, 'text' => (string) $outcome->error?->message];
            try {
                $this->processes->confirm($lease, ['final' => $final, 'next' => $next, ...$told]);
            } catch (\RuntimeException $error) {
                $this->logger->error('hooks do not run: ' . $error->getMessage(), ['job_id' => $lease->jobId]);
            }
        }
    }

    /** Notes that an outcome will never be stored. */
    public function dropped(Lease $lease): void
    {
        $this->ledger->forget($lease);
        $this->processes->dismiss($lease);
    }

    private function kill(HandlerProcess $process, StopReason $reason, float $now): void
    {
        $lease = $process->lease;
        if ($lease === null) {
            return;
        }
        $this->logger->warning('process killed', ['job_id' => $lease->jobId, 'why' => $reason->value]);
        $this->processes->kill($process);
        $process->lease = null;
        $this->finish($lease, Outcome::stopped($reason, $lease->runTimeout), $now);
    }

    /** @param array<string, mixed> $message */
    private function ended(HandlerProcess $process, array $message, float $now): void
    {
        $lease = $process->lease;
        if ($lease === null) {
            return;
        }
        // After a lost lease others may have the job: whatever the handler made of it does not count.
        $outcome = $lease->stopReason === StopReason::LeaseLost
            ? Outcome::stopped($lease->stopReason, $lease->runTimeout)
            : Outcome::ofArray($message['outcome']);
        $process->lease = null;
        $this->memory = max($this->memory, $message['memory']);
        if ($this->finish($lease, $outcome, $now) && $outcome->type === 'fail' && $this->wantsToKnow($lease)) {
            [$process->isConfirming, $process->confirms] = [true, $lease];
        }
    }

    private function died(HandlerProcess $process, int $code, float $now): void
    {
        $lease = $process->lease;
        if ($lease === null) {
            return;
        }
        $process->lease = null;
        $why = $process->lastWords ?? "the handler's process ended with code $code";
        $outcome = $lease->stopReason === null
            ? Outcome::fail(new ErrorInfo('ProcessDied', $why))
            : Outcome::stopped($lease->stopReason, $lease->runTimeout);
        $this->finish($lease, $outcome, $now);
    }

    /** Notes how an attempt has ended. False: nobody is to be told. */
    private function finish(Lease $lease, Outcome $outcome, float $now): bool
    {
        $checkpoint = $lease->checkpoint ?? $lease->toldCheckpoint;
        if ($checkpoint !== null && strlen($checkpoint) <= self::MAX_CHECKPOINT_BYTES && $outcome->type === 'fail') {
            $outcome = $outcome->withCheckpoint($checkpoint);
            $lease->checkpoint = null;
        }
        if ($outcome->result !== null && strlen($outcome->result) > $this->maxResultBytes) {
            $sizes = ['size' => strlen($outcome->result), 'limit' => $this->maxResultBytes];
            $this->logger->warning('result is too large and is dropped', ['job_id' => $lease->jobId, ...$sizes]);
            $outcome = $outcome->withBoundedResult($this->maxResultBytes);
        }
        $this->processed++;
        $this->lastBusy = $now;
        $counts = $this->ledger->end($lease, $outcome);
        $this->observer->ended($lease->jobId, $lease->attempt, $counts ? self::label($lease, $outcome) : 'lost');
        return $counts;
    }

    private static function label(Lease $lease, Outcome $outcome): string
    {
        if ($outcome->said !== '') {
            return $outcome->said;
        }
        if ($outcome->type === 'release') {
            return $lease->stopReason === StopReason::LeaseLost ? 'lost' : 'abandoned';
        }
        return $outcome->type;
    }

    private function wantsToKnow(Lease $lease): bool
    {
        return $this->listeners->has('job.failed') || $this->registry->find($lease->kind())?->failed !== null;
    }
}
