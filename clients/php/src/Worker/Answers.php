<?php

declare(strict_types=1);

namespace ProtoJobs\Worker;

use ProtoJobs\Backoff;
use Protojobs\V1\CancelReason;
use Protojobs\V1\ExtendLeasesResponse;
use Protojobs\V1\JobState;
use Protojobs\V1\LeaseRef;
use Protojobs\V1\SettleCode;
use Protojobs\V1\Settled;
use Protojobs\V1\SettledItem;
use Psr\Log\LoggerInterface;

/**
 * What the server says about jobs that this worker has: answers to outcomes and updates, and what is to stop.
 *
 * @internal
 */
final class Answers
{
    /** @var array<string, Lease> those that the answer is for */
    private array $sent = [];

    public function __construct(
        private readonly Holding $holding,
        private readonly Observer $observer,
        private readonly LoggerInterface $logger,
    ) {
    }

    /** Notes what became of outcomes. @param list<Lease> $sent those that the answer is for */
    public function settled(?Settled $settled, array $sent, float $now): void
    {
        $this->sent = [];
        foreach ($sent as $lease) {
            $lease->dueAt = $now + 1.0; // what the answer does not name goes out again
            $lease->isSent = false;
            $this->sent["{$lease->jobId}/{$lease->attempt}"] = $lease;
        }
        foreach ($settled?->getGroups() ?? [] as $group) {
            foreach ($group->getJobIds() as $jobId) {
                $item = (new SettledItem())->setJobId($jobId)->setAttempt($group->getAttempt());
                $this->outcome($item->setCode($group->getCode())->setNextState($group->getNextState()), $now);
            }
        }
        foreach ($settled?->getItems() ?? [] as $item) {
            $this->outcome($item, $now);
        }
    }

    /** Stops what was cancelled or lost, and notes which updates were refused. */
    public function extended(ExtendLeasesResponse $answer, float $now): void
    {
        foreach ($answer->getCancelled() as $item) {
            $lease = $this->holding->ledger->get($item->getJobId(), $item->getAttempt());
            if ($lease !== null && $item->getReason() === CancelReason::CANCEL_REASON_LEASE_LOST) {
                $this->holding->lose($lease, $now);
            } elseif ($lease !== null) {
                $isTimeout = $item->getReason() === CancelReason::CANCEL_REASON_TIMEOUT;
                $this->holding->stop($lease, $isTimeout ? StopReason::Timeout : StopReason::Cancelled, $now);
            }
        }
        $this->lost($answer->getLost(), $now);
        foreach ($answer->getUpdates() as $item) {
            $this->update($item);
        }
    }

    /**
     * Stops what this session has no more. Outcomes stay: an answer may be on its way, and it decides.
     *
     * @param iterable<LeaseRef> $lost
     */
    public function lost(iterable $lost, float $now): void
    {
        foreach ($lost as $ref) {
            $lease = $this->holding->ledger->get($ref->getJobId(), $ref->getAttempt());
            // One that is being cancelled says so itself; whether that still counts is for the server to tell.
            if ($lease?->state === LeaseState::Running && $lease->stopReason !== StopReason::Cancelled) {
                $this->logger->warning('lease lost', ['job_id' => $lease->jobId, 'attempt' => $lease->attempt]);
                $this->holding->lose($lease, $now);
            }
        }
    }

    /** Notes that an outcome could not be stored or sent; it goes out again, unless a newer attempt has taken its place. */
    public function unsettled(Lease $lease, float $now): void
    {
        $lease->isSent = false;
        if ($lease->state === LeaseState::Gone) {
            // Only what was stored lets the job come again to this session.
            $this->holding->stored($lease, false, null);
            return;
        }
        $wait = Backoff::uniform(0.05, min(5.0, 0.1 * 2 ** min($lease->tries, 6)));
        $lease->tries++;
        $lease->dueAt = $now + $wait;
    }

    private function outcome(SettledItem $item, float $now): void
    {
        // Not the ledger: the next attempt of the job may have come before this answer.
        $lease = $this->sent["{$item->getJobId()}/{$item->getAttempt()}"] ?? null;
        if ($lease === null) {
            return;
        }
        $about = ['job_id' => $lease->jobId, 'attempt' => $lease->attempt];
        switch ($item->getCode()) {
            case SettleCode::SETTLE_CODE_OK:
            case SettleCode::SETTLE_CODE_ALREADY:
                $final = $item->getNextState() === JobState::JOB_STATE_FAILED;
                $this->holding->stored($lease, $final, $item->hasNextTime() ? (float) $item->getNextTime()->getSeconds() : null);
                break;
            case SettleCode::SETTLE_CODE_RETRY_LATER:
                $this->unsettled($lease, $now);
                break;
            case SettleCode::SETTLE_CODE_INVALID:
                $this->refused($lease, $item->getMessage());
                break;
            default:
                $this->logger->info('outcome superseded', $about);
                $this->holding->dropped($lease);
        }
        $this->observer->settled($lease->jobId, $lease->attempt, self::name($item->getCode()));
    }

    /** Puts a plain failure in the place of an outcome that the server does not take. */
    public function refused(Lease $lease, string $why): void
    {
        $about = ['job_id' => $lease->jobId, 'attempt' => $lease->attempt];
        $this->logger->error('outcome refused', [...$about, 'why' => $why]);
        if ($this->holding->ledger->refuse($lease, $why)) {
            $lease->dueAt = 0.0;
        } else {
            $this->logger->error('outcome given up', $about);
            $this->holding->dropped($lease);
        }
    }

    private function update(SettledItem $item): void
    {
        $lease = $this->holding->ledger->get($item->getJobId(), $item->getAttempt());
        if ($lease !== null && $item->getCode() === SettleCode::SETTLE_CODE_RETRY_LATER) {
            $lease->progress ??= $lease->toldProgress;
            $lease->checkpoint ??= $lease->toldCheckpoint;
            return;
        }
        $this->logger->info('update refused', ['job_id' => $item->getJobId(), 'why' => $item->getMessage()]);
        if ($lease !== null) {
            $lease->toldProgress = $lease->toldCheckpoint = null;
        }
    }

    private static function name(int $code): string
    {
        try {
            return substr(SettleCode::name($code), strlen('SETTLE_CODE_'));
        } catch (\UnexpectedValueException) {
            return (string) $code;
        }
    }
}
