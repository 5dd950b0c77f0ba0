<?php

declare(strict_types=1);

namespace ProtoJobs;

use Protojobs\V1\RetryPolicy as Message;

/** How failures are retried. What is null takes the queue's value, then the default. Times are seconds or intervals. */
final class RetryPolicy
{
    /**
     * @param int|null $maxRetries retries after the first run, 0 to 1000; default 3
     * @param int|float|\DateInterval|null $initialBackoff before the first retry; default 60 s
     * @param float|null $multiplier from one wait to the next, 1.0 to 100.0; default 2.0
     * @param int|float|\DateInterval|null $maxBackoff longest wait; default 1 h
     * @param Jitter|null $jitter default Full
     * @param int|float|\DateInterval|null $maxRetryDuration no retry starts later than this after the creation; default unbounded
     */
    public function __construct(
        public readonly ?int $maxRetries = null,
        public readonly int|float|\DateInterval|null $initialBackoff = null,
        public readonly ?float $multiplier = null,
        public readonly int|float|\DateInterval|null $maxBackoff = null,
        public readonly ?Jitter $jitter = null,
        public readonly int|float|\DateInterval|null $maxRetryDuration = null,
    ) {
    }

    /** Returns this policy with the fields of $base where it says nothing. */
    public function over(?self $base): self
    {
        if ($base === null) {
            return $this;
        }
        return new self(
            $this->maxRetries ?? $base->maxRetries,
            $this->initialBackoff ?? $base->initialBackoff,
            $this->multiplier ?? $base->multiplier,
            $this->maxBackoff ?? $base->maxBackoff,
            $this->jitter ?? $base->jitter,
            $this->maxRetryDuration ?? $base->maxRetryDuration,
        );
    }

    /** Makes the message. @internal */
    public function toMessage(): Message
    {
        $message = new Message();
        if ($this->maxRetries !== null) {
            $message->setMaxRetries($this->maxRetries);
        }
        if ($this->multiplier !== null) {
            $message->setMultiplier($this->multiplier);
        }
        if ($this->jitter !== null) {
            $message->setJitter($this->jitter->value);
        }
        return $message
            ->setInitialBackoff(Times::duration($this->initialBackoff))
            ->setMaxBackoff(Times::duration($this->maxBackoff))
            ->setMaxRetryDuration(Times::duration($this->maxRetryDuration));
    }

    /** Reads the message. @internal */
    public static function ofMessage(?Message $message): self
    {
        if ($message === null) {
            return new self();
        }
        return new self(
            $message->hasMaxRetries() ? $message->getMaxRetries() : null,
            Times::seconds($message->getInitialBackoff()),
            $message->hasMultiplier() ? $message->getMultiplier() : null,
            Times::seconds($message->getMaxBackoff()),
            Jitter::tryFrom($message->getJitter()),
            Times::seconds($message->getMaxRetryDuration()),
        );
    }
}
