<?php

declare(strict_types=1);

namespace ProtoJobs\Worker;

use Psr\Log\LoggerInterface;

/**
 * How a worker leaves: it finishes what runs, after a while asks it to stop, then kills it; what is not done goes back.
 *
 * @internal
 */
final class Leaving
{
    private const CONFIRM_SECONDS = 5.0;
    private const CONFIRM_KILLED_SECONDS = 0.5;
    /** How long to wait for the answer of a call for jobs that is under way. */
    private const ACQUIRE_SECONDS = 2.0;

    public ?ExitReason $exit = null;
    private float $beganAt = 0.0;
    private bool $hasStopped = false;

    public function __construct(
        private readonly WorkerOptions $options,
        private readonly Holding $holding,
        private readonly Observer $observer,
        private readonly LoggerInterface $logger,
    ) {
    }

    /** Takes no more jobs. */
    public function quiet(): void
    {
        if ($this->holding->phase === Phase::Working) {
            $this->holding->phase = Phase::Quiet;
            $this->logger->info('quiet: taking no more jobs');
            $this->observer->draining();
        }
    }

    /** Finishes what runs, and ends. A later call changes nothing, unless it says Killed. */
    public function leave(ExitReason $reason, float $now): void
    {
        if ($this->holding->phase !== Phase::Leaving) {
            $wasQuiet = $this->holding->phase === Phase::Quiet;
            $this->holding->phase = Phase::Leaving;
            $this->exit = $reason;
            $this->beganAt = $now;
            $this->logger->info('leaving', ['reason' => $reason->value]);
            if (!$wasQuiet) {
                $this->observer->draining();
            }
        } elseif ($reason === ExitReason::Killed && $this->exit !== $reason) {
            $this->exit = $reason;
            $this->beganAt = $now;
            $this->hasStopped = false;
        }
    }

    /** Presses on. True: nothing is left to do, or nothing more can be done. */
    public function press(float $now, bool $isAcquiring): bool
    {
        if ($this->holding->phase !== Phase::Leaving) {
            return false;
        }
        $killed = $this->exit === ExitReason::Killed;
        if (!$this->hasStopped && ($killed || $now >= $this->beganAt + $this->options->grace)) {
            $this->hasStopped = true;
            $killed ? $this->holding->killAll($now) : $this->holding->stopAll(StopReason::Shutdown, $now);
        }
        if ($this->holding->isEmpty() && (!$isAcquiring || $now >= $this->beganAt + self::ACQUIRE_SECONDS)) {
            return true;
        }
        $patience = $killed
            ? self::CONFIRM_KILLED_SECONDS
            : $this->options->grace + $this->options->stopGrace + self::CONFIRM_SECONDS;
        return $now >= $this->beganAt + $patience;
    }
}
