<?php

declare(strict_types=1);

namespace ProtoJobs\Worker;

/**
 * The processes in which handlers run: one for each slot, forked when it is first needed, kept for the next job.
 *
 * @internal
 */
final class Processes
{
    /** @var array<int, HandlerProcess> */
    private array $processes = [];

    /**
     * @param \Closure(Pipe): void $main what runs in each
     * @param \Closure(list<int>): void $changed gets the ids of all processes when they change
     */
    public function __construct(
        private readonly Forks $forks,
        private readonly \Closure $main,
        private readonly \Closure $changed,
    ) {
    }

    /** Slots that are taken. */
    public function busy(): int
    {
        return count(array_filter($this->processes, static fn (HandlerProcess $process): bool => !$process->isIdle()));
    }

    /** @return list<Pipe> */
    public function pipes(): array
    {
        return array_values(array_map(static fn (HandlerProcess $process): Pipe => $process->pipe, $this->processes));
    }

    /** Begins the handler of a lease. */
    public function start(Lease $lease): void
    {
        $process = $this->idle() ?? $this->fork();
        $process->lease = $lease;
        $process->pipe->send(['op' => 'run', 'kind' => $lease->kind(), 'job' => $lease->job->serializeToString()]);
    }

    /**
     * Lets the hooks of a failure run that is stored: where the handler ran, if that process is still there.
     *
     * @param array<string, mixed> $told final, next, type and text
     */
    public function confirm(Lease $lease, array $told): void
    {
        $process = $this->confirming($lease) ?? $this->idle() ?? $this->fork();
        [$process->isConfirming, $process->confirms] = [true, $lease];
        $job = ['jobId' => $lease->jobId, 'attempt' => $lease->attempt, 'kind' => $lease->kind()];
        $process->pipe->send(['op' => 'stored', ...$job, 'job' => $lease->job->serializeToString(), ...$told]);
    }

    /** Lets the process of a lease go on without any hooks. */
    public function dismiss(Lease $lease): void
    {
        $this->confirming($lease)?->pipe->send(['op' => 'dismiss']);
    }

    /** Asks the handler of a lease to stop. The first reason stays. */
    public function stop(Lease $lease, StopReason $reason, float $now): void
    {
        if ($lease->stopReason !== null) {
            return;
        }
        [$lease->stopReason, $lease->stoppedAt] = [$reason, $now];
        $process = $this->of($lease);
        if ($process !== null) {
            $stop = ['op' => 'stop', 'jobId' => $lease->jobId, 'attempt' => $lease->attempt, 'reason' => $reason->value];
            $process->pipe->send($stop);
            posix_kill($process->pid, SIGUSR2);
        }
    }

    public function of(Lease $lease): ?HandlerProcess
    {
        foreach ($this->processes as $process) {
            if ($process->lease === $lease) {
                return $process;
            }
        }
        return null;
    }

    /** @return list<HandlerProcess> those with a job */
    public function running(): array
    {
        return array_values(array_filter($this->processes, static fn (HandlerProcess $each): bool => $each->lease !== null));
    }

    /**
     * Takes what has come. A process that has died says `died`, with its exit code.
     *
     * @return list<array{HandlerProcess, array<string, mixed>}>
     */
    public function collect(): array
    {
        $found = [];
        foreach ($this->processes as $process) {
            $process->pipe->flush();
            foreach ($process->pipe->poll() as $message) {
                $found[] = [$process, $message];
            }
            if (!$process->pipe->isOpen()) {
                $code = $this->forks->reap($process->pid);
                $this->drop($process);
                $found[] = [$process, ['op' => 'died', 'code' => $code]];
            }
        }
        return $found;
    }

    /** Kills a process at once, whatever it does. */
    public function kill(HandlerProcess $process): void
    {
        $this->forks->kill($process->pid);
        $this->drop($process);
    }

    /** Ends all processes: idle ones by themselves, others at once. */
    public function close(): void
    {
        foreach ($this->processes as $process) {
            $process->isIdle() ? $process->pipe->close() : posix_kill($process->pid, SIGKILL);
        }
        foreach ($this->processes as $process) {
            $this->forks->reap($process->pid);
        }
        $this->processes = [];
    }

    private function confirming(Lease $lease): ?HandlerProcess
    {
        foreach ($this->processes as $process) {
            if ($process->isConfirming && $process->confirms === $lease) {
                return $process;
            }
        }
        return null;
    }

    private function idle(): ?HandlerProcess
    {
        foreach ($this->processes as $process) {
            if ($process->isIdle() && $process->pipe->isOpen()) {
                return $process;
            }
        }
        return null;
    }

    private function fork(): HandlerProcess
    {
        [$pid, $pipe] = $this->forks->fork($this->main);
        $this->processes[$pid] = new HandlerProcess($pid, $pipe);
        ($this->changed)(array_keys($this->processes));
        return $this->processes[$pid];
    }

    private function drop(HandlerProcess $process): void
    {
        unset($this->processes[$process->pid]);
        ($this->changed)(array_keys($this->processes));
    }
}
