<?php

declare(strict_types=1);

namespace ProtoJobs\Worker;

use ProtoJobs\Times;
use ProtoJobs\Version;
use Protojobs\V1\AcquireLeasesRequest;
use Protojobs\V1\ExtendLeasesRequest;
use Protojobs\V1\HeldLease;
use Protojobs\V1\Progress;
use Protojobs\V1\QueueOrder;
use Protojobs\V1\QueueSubscription;
use Protojobs\V1\Settle;
use Protojobs\V1\SettleLeasesRequest;
use Protojobs\V1\Update;
use Protojobs\V1\UpdateItem;

/**
 * Makes the requests of a session from plain values.
 *
 * @internal
 */
final class Requests
{
    /** @param list<string> $kinds */
    public function __construct(private readonly WorkerOptions $options, private readonly array $kinds)
    {
    }

    /** @param iterable<Lease> $held */
    public function acquire(string $sessionId, int $seq, iterable $held, int $most, float $wait, float $now): AcquireLeasesRequest
    {
        $queues = [];
        foreach ($this->options->queues as $name => $weight) {
            $queues[] = (new QueueSubscription())->setName((string) $name)->setWeight($weight);
        }
        return (new AcquireLeasesRequest())
            ->setSessionId($sessionId)
            ->setAcquireSeq($seq)
            ->setHeld(self::held($held, $now))
            ->setQueues($queues)
            ->setKinds($this->kinds)
            ->setMax($most)
            ->setWait(Times::duration($wait))
            ->setWorker(ErrorInfo::cut($this->options->name, 128))
            ->setSdk(Version::SDK)
            ->setSdkVersion(Version::NUMBER)
            ->setQueueOrder($this->options->strict ? QueueOrder::QUEUE_ORDER_STRICT : QueueOrder::QUEUE_ORDER_WEIGHTED)
            ->setSessionTtl(Times::duration($this->options->sessionTtl));
    }

    /**
     * Takes what leases have to tell, too.
     *
     * @param array<string, Lease> $held
     */
    public function extend(string $sessionId, array $held, float $now): ExtendLeasesRequest
    {
        $items = [];
        foreach ($held as $lease) {
            if (!$lease->hasUpdate($now) || count($items) === 1000) {
                continue;
            }
            $item = (new UpdateItem())->setJobId($lease->jobId)->setAttempt($lease->attempt);
            if ($lease->progress !== null) {
                [$ratio, $message] = $lease->toldProgress = $lease->progress;
                $item->setProgress((new Progress())->setRatio($ratio)->setMessage($message));
            }
            if ($lease->checkpoint !== null) {
                $item->setCheckpoint($lease->toldCheckpoint = $lease->checkpoint);
            }
            [$lease->progress, $lease->checkpoint, $lease->progressSentAt] = [null, null, $now];
            $items[] = $item;
        }
        $request = (new ExtendLeasesRequest())->setSessionId($sessionId)->setHeld(self::held($held, $now));
        return $items === [] ? $request : $request->setUpdate((new Update())->setItems($items));
    }

    /** @param list<Lease> $leases */
    public function settle(string $sessionId, array $leases): SettleLeasesRequest
    {
        $items = [];
        foreach ($leases as $lease) {
            if ($lease->outcome !== null) {
                $items[] = $lease->outcome->toItem($lease->jobId, $lease->attempt);
            }
        }
        return (new SettleLeasesRequest())->setSessionId($sessionId)->setSettle((new Settle())->setItems($items));
    }

    /**
     * @param iterable<Lease> $leases
     * @return list<HeldLease>
     */
    private static function held(iterable $leases, float $now): array
    {
        $held = [];
        foreach ($leases as $lease) {
            $held[] = (new HeldLease())
                ->setJobId($lease->jobId)
                ->setAttempt($lease->attempt)
                ->setStarted(true)
                ->setElapsed(Times::duration(max(0.0, $now - $lease->beganAt)));
        }
        return $held;
    }
}
