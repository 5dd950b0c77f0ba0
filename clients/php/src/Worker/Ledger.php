<?php

declare(strict_types=1);

namespace ProtoJobs\Worker;

/**
 * What this session holds: every leased job until the server has answered its outcome.
 *
 * @internal
 */
final class Ledger
{
    private const MAX_SETTLES = 10_000;
    private const FRAME_BYTES = 1024 * 1024;
    /** A second refusal of the plain failure that replaced a malformed outcome means that nothing we can say is accepted. */
    private const MAX_REFUSALS = 2;

    /** @var array<string, Lease> */
    private array $held = [];

    public function isEmpty(): bool
    {
        return $this->held === [];
    }

    /** @return array<string, Lease> */
    public function all(): array
    {
        return $this->held;
    }

    /** @return list<Lease> */
    public function running(): array
    {
        return array_values(array_filter($this->held, static fn (Lease $lease): bool => $lease->state === LeaseState::Running));
    }

    /** Returns the lease of exactly this attempt. */
    public function get(string $jobId, int $attempt): ?Lease
    {
        $lease = $this->held[$jobId] ?? null;
        return $lease?->attempt === $attempt ? $lease : null;
    }

    /** Takes a lease. False: it is held already, or a newer one. $superseded is what a newer attempt ends. */
    public function add(Lease $lease, ?Lease &$superseded = null): bool
    {
        $old = $this->held[$lease->jobId] ?? null;
        if ($old !== null && $old->attempt >= $lease->attempt) {
            return false;
        }
        $superseded = $old;
        if ($old !== null) {
            $old->state = LeaseState::Gone;
        }
        $this->held[$lease->jobId] = $lease;
        return true;
    }

    /** Gives a running lease its outcome. False: it is gone or was ended before, the outcome is dropped. */
    public function end(Lease $lease, Outcome $outcome): bool
    {
        if ($lease->state !== LeaseState::Running) {
            return false;
        }
        $lease->state = LeaseState::Ended;
        $lease->outcome = $outcome;
        return true;
    }

    /** Forgets a lease: it is settled, or not ours any more. */
    public function forget(Lease $lease): void
    {
        $lease->state = LeaseState::Gone;
        if (($this->held[$lease->jobId] ?? null) === $lease) {
            unset($this->held[$lease->jobId]);
        }
    }

    /**
     * Returns outcomes for one frame, those that are due.
     *
     * @return list<Lease>
     */
    public function unsent(float $now, int $most = self::MAX_SETTLES): array
    {
        $taken = [];
        $size = 0;
        foreach ($this->held as $lease) {
            if ($lease->state !== LeaseState::Ended || $lease->outcome === null || $lease->dueAt > $now) {
                continue;
            }
            $size += $lease->outcome->size();
            if ($taken !== [] && ($size > self::FRAME_BYTES || count($taken) === $most)) {
                break;
            }
            $taken[] = $lease;
        }
        return $taken;
    }

    /** Replaces a malformed outcome by a plain failure, so that the job is not stuck. False: given up. */
    public function refuse(Lease $lease, string $message): bool
    {
        if (++$lease->refusals > self::MAX_REFUSALS) {
            $this->forget($lease);
            return false;
        }
        $lease->outcome = Outcome::fail(new ErrorInfo('INVALID_OUTCOME', $message), retryable: false);
        return true;
    }
}
