<?php

declare(strict_types=1);

namespace ProtoJobs\Worker;

use Google\Protobuf\Duration;
use ProtoJobs\Times;
use Protojobs\V1\Cancelled;
use Protojobs\V1\Complete as CompleteMessage;
use Protojobs\V1\Fail;
use Protojobs\V1\JobError as JobErrorMessage;
use Protojobs\V1\JobSpec;
use Protojobs\V1\Release;
use Protojobs\V1\ReleaseReason;
use Protojobs\V1\SettleItem;
use Protojobs\V1\Snooze as SnoozeMessage;

/**
 * How an attempt ended, as it goes into a SettleItem.
 *
 * @internal
 */
final class Outcome
{
    private const LONGEST_DELAY = 365 * 86_400.0;

    /**
     * @param string $type complete, fail, snooze, release or cancelled
     * @param list<string> $dispatch serialised JobSpecs to store with a completion
     * @param string $said the handler's word for it where it has one: cancel, discard
     */
    private function __construct(
        public readonly string $type,
        public readonly ?string $result = null,
        public readonly array $dispatch = [],
        public readonly ?ErrorInfo $error = null,
        public readonly bool $retryable = true,
        public readonly ?float $after = null,
        public readonly ?string $checkpoint = null,
        public readonly int $reason = 0,
        public readonly string $said = '',
    ) {
    }

    /** @param list<string> $dispatch */
    public static function complete(?string $result = null, array $dispatch = []): self
    {
        return new self('complete', $result, $dispatch);
    }

    public static function fail(ErrorInfo $error, bool $retryable = true, ?float $after = null, string $said = ''): self
    {
        return new self('fail', error: $error, retryable: $retryable, after: $after, said: $said);
    }

    public static function timedOut(float $seconds): self
    {
        return self::fail(new ErrorInfo('TIMEOUT', sprintf('run timeout of %g s passed', $seconds)));
    }

    public static function snooze(float $delay): self
    {
        return new self('snooze', after: $delay);
    }

    /** @param int $reason of ReleaseReason */
    public static function release(int $reason): self
    {
        return new self('release', reason: $reason);
    }

    public static function cancelled(string $said = ''): self
    {
        return new self('cancelled', said: $said);
    }

    /** Says how an attempt ends whose handler stopped, or was killed, because it was asked to. */
    public static function stopped(StopReason $reason, float $runTimeout): self
    {
        return match ($reason) {
            StopReason::Timeout => self::timedOut($runTimeout),
            StopReason::Cancelled => self::cancelled(),
            // After a lost lease the server refuses this, unless it was an outage in which nothing expired.
            StopReason::LeaseLost, StopReason::Shutdown => self::release(ReleaseReason::RELEASE_REASON_SHUTDOWN),
        };
    }

    /** Returns a completion whose result is cut to one byte too many: enough for the server to drop it, and to say so. */
    public function withBoundedResult(int $limit): self
    {
        if ($this->result === null || strlen($this->result) <= $limit) {
            return $this;
        }
        return self::complete(substr($this->result, 0, $limit + 1), $this->dispatch);
    }

    /** Returns a failure that hands this checkpoint to the next attempt. */
    public function withCheckpoint(?string $checkpoint): self
    {
        if ($this->type !== 'fail' || $checkpoint === null) {
            return $this;
        }
        return new self('fail', null, [], $this->error, $this->retryable, $this->after, $checkpoint, 0, $this->said);
    }

    /** Bytes that it needs in a frame, about. */
    public function size(): int
    {
        return 128 + strlen((string) $this->result) + strlen((string) $this->checkpoint)
            + array_sum(array_map('strlen', $this->dispatch))
            + ($this->error === null ? 0 : strlen($this->error->type . $this->error->message . $this->error->stack));
    }

    /** Makes the item. */
    public function toItem(string $jobId, int $attempt): SettleItem
    {
        $item = (new SettleItem())->setJobId($jobId)->setAttempt($attempt);
        return match ($this->type) {
            'complete' => $item->setComplete($this->completion()),
            'fail' => $item->setFail($this->failure()),
            'snooze' => $item->setSnooze((new SnoozeMessage())->setDelay($this->delay())),
            'release' => $item->setRelease((new Release())->setReason($this->reason)),
            default => $item->setCancelled(new Cancelled()),
        };
    }

    private function completion(): CompleteMessage
    {
        $specs = array_map(static function (string $bytes): JobSpec {
            $spec = new JobSpec();
            $spec->mergeFromString($bytes);
            return $spec;
        }, $this->dispatch);
        return (new CompleteMessage())->setResult($this->result ?? '')->setDispatch($specs);
    }

    private function failure(): Fail
    {
        $error = (new JobErrorMessage())
            ->setType((string) $this->error?->type)
            ->setMessage((string) $this->error?->message)
            ->setStack((string) $this->error?->stack);
        $fail = (new Fail())->setError($error)->setRetryAfter($this->delay());
        if (!$this->retryable) {
            $fail->setRetryable(false);
        }
        if ($this->checkpoint !== null) {
            $fail->setCheckpoint($this->checkpoint);
        }
        return $fail;
    }

    private function delay(): ?Duration
    {
        return Times::duration($this->after === null ? null : min($this->after, self::LONGEST_DELAY));
    }

    /** @return array<string, mixed> plain values, to go through a socket */
    public function toArray(): array
    {
        return [...get_object_vars($this), 'error' => $this->error === null ? null : get_object_vars($this->error)];
    }

    /** @param array<string, mixed> $values */
    public static function ofArray(array $values): self
    {
        return new self(...[...$values, 'error' => $values['error'] === null ? null : new ErrorInfo(...$values['error'])]);
    }
}
