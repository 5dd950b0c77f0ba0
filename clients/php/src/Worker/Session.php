<?php

declare(strict_types=1);

namespace ProtoJobs\Worker;

use Google\Protobuf\Duration;
use ProtoJobs\Backoff;
use ProtoJobs\Exception as E;
use ProtoJobs\Exception\ProtoJobsException;
use ProtoJobs\Times;
use Protojobs\V1\AcquireLeasesResponse;
use Protojobs\V1\ExtendLeasesResponse;
use Protojobs\V1\GetServerInfoRequest;
use Protojobs\V1\GetServerInfoResponse;
use Protojobs\V1\SettleLeasesResponse;
use Protojobs\V1\StatsRequest;
use Protojobs\V1\StatsResponse;
use Psr\Log\LoggerInterface;

/**
 * One session after the other with the server, by the unary twin of the Lease stream: takes jobs, renews, settles.
 *
 * Two calls may be under way at once, each in a process of its own: one that waits for jobs, and one for everything else.
 * So neither a handler nor a long wait holds up a renewal.
 *
 * @internal
 */
final class Session
{
    private const WAIT_SECONDS = 20.0;
    private const WAIT_UNTIL_EMPTY_SECONDS = 1.0;
    private const SLACK_SECONDS = 5.0;
    private const LOCKED_OUT_SECONDS = 60.0;
    private const LIMITS_SECONDS = 2.0;
    /** What ends a worker that no server has answered yet: trying again would change nothing. */
    private const REFUSED = [
        E\InvalidArgumentException::class,
        E\UnsupportedException::class,
        E\ProtocolViolationException::class,
        E\UnauthenticatedException::class,
        E\PermissionDeniedException::class,
    ];

    public bool $isConnected = false;
    public float $downSince;
    private string $id;
    private int $seq = 0;
    private float $ttl = 30.0;
    private float $answeredAt;
    private bool $isFenced = false;
    private bool $isDoubted = false;
    private bool $wasAnswered = false;
    private bool $isNew = true;
    private float $limitsAt = 0.0;
    private bool $asksAgain = false;
    private bool $oneByOne = false;
    private float $acquireAt = 0.0;
    private int $acquireFailures = 0;
    private float $extendAt = 0.0;
    private float $extendedAt = -INF;
    private float $statsAt = 0.0;
    private float $lockedOutToldAt = -INF;

    public function __construct(
        private readonly WorkerOptions $options,
        private readonly Requests $requests,
        private readonly Holding $holding,
        private readonly Leaving $leaving,
        private readonly Answers $answers,
        private readonly Observer $observer,
        private readonly LoggerInterface $logger,
        private readonly Lane $acquires,
        private readonly Lane $reports,
    ) {
        $this->downSince = $this->answeredAt = Times::monotonic();
        $this->id = random_bytes(16);
    }

    /** A call for jobs waits at the server. */
    public function isAcquiring(): bool
    {
        return $this->acquires->isBusy();
    }

    /** Takes what has come, and makes the calls that are due. */
    public function tick(float $now): void
    {
        // Answers to outcomes first: the next attempt of a job may have come after them.
        $this->reports->collect();
        $this->acquires->collect();
        $this->fence($now);
        // A server that sees this session anew hears one call at a time: it may take two for one that is over.
        $isAlone = !$this->acquires->isBusy() && !$this->reports->isBusy();
        if (!$this->acquires->isBusy() && ($this->isConnected || $isAlone) && $this->isAcquireDue($now)) {
            $this->acquire($this->acquires, $this->wait(), $now);
            $isAlone = false;
        }
        if (!$this->reports->isBusy() && ($this->isConnected || $isAlone || $this->holding->phase === Phase::Leaving)) {
            $this->report($now);
        }
    }

    private function isAcquireDue(float $now): bool
    {
        return $now >= $this->acquireAt && $this->holding->room() > 0;
    }

    // ---- jobs -----------------------------------------------------------------------------------------------

    private function wait(): float
    {
        // The first answer says that the server is there; later ones may take their time.
        if (!$this->isConnected) {
            return 0.0;
        }
        // What a call brings counts from when it left: a long wait would use up the time before the first renewal.
        return min($this->ttl / 4, $this->options->untilEmpty ? self::WAIT_UNTIL_EMPTY_SECONDS : self::WAIT_SECONDS);
    }

    /** Calls for jobs. A call that was not answered is made again under its number: it gets the same leases. */
    private function acquire(Lane $lane, float $wait, float $now): void
    {
        $id = $this->id;
        $room = max(1, min(1000, $this->holding->room()));
        $request = $this->requests->acquire($id, $this->seq + 1, $this->holding->ledger->all(), $room, $wait, $now);
        $number = $this->seq + 1;
        $done = function (?string $bytes, ?ProtoJobsException $error, float $sentAt) use ($id, $number): void {
            if ($id !== $this->id) {
                return;
            }
            $now = Times::monotonic();
            if ($error !== null) {
                $this->failed($error, $now);
                $this->acquireAt = $now + $this->acquireBackoff();
                return;
            }
            $answer = new AcquireLeasesResponse();
            $answer->mergeFromString((string) $bytes);
            $this->seq = max($this->seq, $number);
            $this->acquireFailures = 0;
            $this->heard($answer->getSessionTtl(), $sentAt);
            $this->answers->lost($answer->getLost(), $now);
            foreach ($answer->getLeases() as $job) {
                $this->holding->take($job, $now);
            }
            if ($this->holding->isUsedUp()) {
                $this->leaving->leave(ExitReason::MaxJobs, $now);
            }
            $this->drain($answer->getDrain(), $now);
        };
        $lane->send('WorkerService/AcquireLeases', $request, $wait + self::SLACK_SECONDS, $done);
    }

    private function acquireBackoff(): float
    {
        $this->acquireFailures++;
        if ($this->acquireFailures === 1) {
            return Backoff::uniform(0.0, 1.0);
        }
        // What is held must be kept: then the next try comes sooner.
        $most = $this->holding->ledger->isEmpty() ? 10.0 : 1.0;
        return Backoff::uniform(0.2, min($most, 2.0 ** ($this->acquireFailures - 1)));
    }

    // ---- reports --------------------------------------------------------------------------------------------

    private function report(float $now): void
    {
        $ledger = $this->holding->ledger;
        if ($this->holding->phase === Phase::Leaving && $this->isAcquiring() && !$this->asksAgain) {
            // The same number again ends the wait of the first call, and both get the same leases: none is lost on the way.
            $this->asksAgain = true;
            $this->acquire($this->reports, 0.0, $now);
        } elseif (!$ledger->isEmpty() && $now >= $this->extendAt && $this->isExtendDue($now)) {
            $this->extend($now);
        } elseif (($unsent = $ledger->unsent($now, $this->oneByOne ? 1 : PHP_INT_MAX)) !== []) {
            $this->settle($unsent, $now);
        } elseif ($now >= $this->limitsAt) {
            $this->askForLimits();
        } elseif ($this->options->untilEmpty && $now >= $this->statsAt) {
            $this->lookWhetherEmpty($now);
        }
    }

    private function isExtendDue(float $now): bool
    {
        $sinceLast = $now - $this->extendedAt;
        $hasNews = $hasLastNews = $isRunning = false;
        foreach ($this->holding->ledger->all() as $lease) {
            $isRunning = $isRunning || $lease->state === LeaseState::Running;
            $hasNews = $hasNews || $lease->hasUpdate($now);
            $hasLastNews = $hasLastNews || ($lease->state === LeaseState::Ended && $lease->hasUpdate($now));
        }
        // News of what has ended must come before its outcome.
        return $hasLastNews
            || $sinceLast >= $this->ttl / 4
            || ($hasNews && $sinceLast >= 0.2)
            || ($isRunning && $sinceLast >= $this->options->heartbeat);
    }

    private function extend(float $now): void
    {
        $id = $this->id;
        $this->extendedAt = $now;
        $request = $this->requests->extend($id, $this->holding->ledger->all(), $now);
        $done = function (?string $bytes, ?ProtoJobsException $error, float $sentAt) use ($id): void {
            if ($id !== $this->id) {
                return;
            }
            $now = Times::monotonic();
            if ($error !== null) {
                foreach ($this->holding->ledger->all() as $lease) {
                    $lease->progress ??= $lease->toldProgress;
                    $lease->checkpoint ??= $lease->toldCheckpoint;
                }
                $this->extendAt = $now + Backoff::uniform(0.1, 1.0);
                $this->failed($error, $now, isReport: true);
                return;
            }
            $answer = new ExtendLeasesResponse();
            $answer->mergeFromString((string) $bytes);
            $this->heard($answer->getSessionTtl(), $sentAt);
            $this->answers->extended($answer, $now);
            $this->drain($answer->getDrain(), $now);
        };
        $this->reports->send('WorkerService/ExtendLeases', $request, $this->reportTimeout(), $done);
    }

    /** @param list<Lease> $leases */
    private function settle(array $leases, float $now): void
    {
        $id = $this->id;
        foreach ($leases as $lease) {
            $lease->isSent = true;
        }
        $done = function (?string $bytes, ?ProtoJobsException $error, float $sentAt) use ($id, $leases): void {
            if ($id !== $this->id) {
                return;
            }
            $now = Times::monotonic();
            if ($error !== null) {
                $this->unsettled($leases, $error, $now);
                return;
            }
            $answer = new SettleLeasesResponse();
            $answer->mergeFromString((string) $bytes);
            $this->oneByOne = false;
            $this->heard(null, $sentAt);
            $this->answers->settled($answer->getSettled(), $leases, $now);
        };
        $this->reports->send('WorkerService/SettleLeases', $this->requests->settle($id, $leases), $this->reportTimeout(), $done);
    }

    /** @param list<Lease> $leases */
    private function unsettled(array $leases, ProtoJobsException $error, float $now): void
    {
        $id = $this->id;
        $this->failed($error, $now, isReport: true);
        if ($id !== $this->id) {
            return;
        }
        $isPoisoned = $error instanceof E\InvalidArgumentException || $error instanceof E\ResourceExhaustedException;
        if ($isPoisoned && !$error->isRetryable() && count($leases) === 1) {
            $leases[0]->isSent = false;
            $this->answers->refused($leases[0], $error->getMessage());
            return;
        }
        // One item that the server cannot even read must not hold up the others.
        $this->oneByOne = $isPoisoned;
        foreach ($leases as $lease) {
            $this->answers->unsettled($lease, $now);
        }
    }

    private function reportTimeout(): float
    {
        return min(self::SLACK_SECONDS, $this->ttl / 3);
    }

    private function askForLimits(): void
    {
        $this->limitsAt = INF;
        $done = function (?string $bytes, ?ProtoJobsException $error): void {
            if ($error?->isRetryable()) {
                $this->limitsAt = Times::monotonic() + self::LIMITS_SECONDS;
            } elseif ($error === null) {
                $answer = new GetServerInfoResponse();
                $answer->mergeFromString((string) $bytes);
                $this->holding->maxResultBytes = $answer->getLimits()?->getMaxResultBytes() ?: $this->holding->maxResultBytes;
            }
        };
        $this->reports->send('ServerService/GetServerInfo', new GetServerInfoRequest(), self::SLACK_SECONDS, $done);
    }

    /** Leaves when nothing was leased for a second and the server counts no PENDING job in our queues. */
    private function lookWhetherEmpty(float $now): void
    {
        $this->statsAt = $now + 0.25;
        $idle = $now - $this->holding->lastBusy;
        if (!$this->isConnected || !$this->holding->isEmpty() || $idle < 1.0 || $this->holding->phase !== Phase::Working) {
            return;
        }
        if ($idle >= $this->options->emptyGrace) {
            $this->leaving->leave(ExitReason::Empty, $now);
            return;
        }
        $done = function (?string $bytes, ?ProtoJobsException $error): void {
            $answer = new StatsResponse();
            if ($error !== null) {
                return; // the grace decides
            }
            $answer->mergeFromString((string) $bytes);
            $pending = 0;
            foreach ($answer->getQueues() as $queue) {
                $isOurs = isset($this->options->queues[$queue->getQueue()]);
                $pending += $isOurs ? (int) $queue->getCounts()?->getPending() : 0;
            }
            if ($pending === 0 && $this->holding->isEmpty()) {
                $this->leaving->leave(ExitReason::Empty, Times::monotonic());
            }
        };
        $this->reports->send('QueueService/Stats', new StatsRequest(), self::SLACK_SECONDS, $done);
    }

    // ---- the session ----------------------------------------------------------------------------------------

    private function heard(?Duration $ttl, float $sentAt): void
    {
        $this->ttl = Times::seconds($ttl) ?: $this->ttl;
        // The server heard us some time after the call had left: what is counted from there cannot be too long.
        $this->answeredAt = max($this->answeredAt, $sentAt);
        $this->isFenced = $this->isDoubted = false;
        if (!$this->isConnected) {
            $this->isConnected = $this->wasAnswered = true;
            $this->logger->info('a server answers', ['resumed' => !$this->isNew]);
            // A name of the session: its id proves leases and is told to nobody but the server.
            $this->observer->ready(substr(hash('sha256', $this->id), 0, 32), !$this->isNew);
            $this->isNew = false;
        }
    }

    private function failed(ProtoJobsException $error, float $now, bool $isReport = false): void
    {
        if ($this->isConnected) {
            $this->isConnected = false;
            $this->downSince = $now;
            $this->logger->warning('no answer: ' . $error->getMessage(), ['reason' => $error->reason()]);
        }
        if ($isReport && !$this->isDoubted && $error instanceof E\SessionClosedException) {
            // All that runs is at stake: a call that met the session between two replicas is told the same, once.
            $this->isDoubted = true;
        } elseif ($error instanceof E\SessionClosedException || $error instanceof E\SessionSupersededException) {
            // The server knows this session no more: what it held is not ours, a new one begins.
            $this->logger->warning('session is over; starting a new one', ['reason' => $error->reason()]);
            $this->holding->reset($now);
            $this->id = random_bytes(16);
            [$this->seq, $this->isNew, $this->acquireAt, $this->isDoubted] = [0, true, $now, false];
        } elseif (!$this->wasAnswered && array_intersect([$error::class, ...class_parents($error)], self::REFUSED) !== []) {
            $this->logger->error('this worker is refused: ' . $error->getMessage(), ['reason' => $error->reason()]);
            $this->leaving->leave(ExitReason::Refused, $now);
        } elseif ($error instanceof E\UnauthenticatedException || $error instanceof E\PermissionDeniedException) {
            if ($now >= $this->lockedOutToldAt + self::LOCKED_OUT_SECONDS) {
                $this->lockedOutToldAt = $now;
                $why = 'credentials are not accepted any more; what runs goes on, and each try reads the token file again: ';
                $this->logger->error($why . $error->getMessage(), ['reason' => $error->reason()]);
            }
        }
    }

    /** Stops handlers whose leases may be gone: no answer for 80 % of the session's life without a call. */
    private function fence(float $now): void
    {
        if (!$this->isFenced && $now >= $this->answeredAt + 0.8 * $this->ttl && $this->holding->ledger->running() !== []) {
            $this->isFenced = true;
            $this->logger->warning('no answer for 80 % of the ttl; stopping handlers');
            $this->holding->stopAll(StopReason::LeaseLost, $now);
        }
    }

    private function drain(bool $drain, float $now): void
    {
        if ($drain) {
            $this->leaving->leave(ExitReason::Drained, $now);
        }
    }
}
