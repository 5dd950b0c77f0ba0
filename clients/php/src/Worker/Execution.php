<?php

declare(strict_types=1);

namespace ProtoJobs\Worker;

/**
 * Runs a handler and says how its attempt ended.
 *
 * @internal
 */
final class Execution
{
    /**
     * Calls the handler; never throws. $error is what it threw, for the hooks that come after; $value what it returned.
     *
     * @return array{Outcome, ?\Throwable, mixed}
     */
    public static function run(Handler $handler, JobContext $context, ?Interruption $interruption = null): array
    {
        try {
            $interruption?->allow($context);
            $value = ($handler->invoke)($context);
            $interruption?->forbid();
        } catch (\Throwable $error) {
            $interruption?->forbid();
            return [self::ofError($handler, $context, $error), $error, null];
        }
        return $value instanceof Verdict
            ? [self::ofVerdict($context, $value), $value, null]
            : [self::completed($context, $value), null, $value];
    }

    private static function completed(JobContext $context, mixed $value): Outcome
    {
        try {
            return Outcome::complete($value === null ? null : $context->seal($value), $context->children());
        } catch (\Throwable $error) {
            // The work is done and a retry would do it again: the same value would come back.
            return Outcome::fail(ErrorInfo::of($error), retryable: false);
        }
    }

    private static function ofError(Handler $handler, JobContext $context, \Throwable $error): Outcome
    {
        if ($error instanceof Verdict) {
            return self::ofVerdict($context, $error);
        }
        if ($error instanceof JobStopped && $context->stopReason() !== null) {
            return Outcome::stopped($context->stopReason(), $context->runTimeout());
        }
        if ($error instanceof InvalidPayload) {
            return Outcome::fail(ErrorInfo::of($error), retryable: false);
        }
        return Outcome::fail(ErrorInfo::of($error), self::mayRetry($handler, $context, $error));
    }

    private static function ofVerdict(JobContext $context, Verdict $verdict): Outcome
    {
        return match (true) {
            $verdict instanceof Retry => Outcome::fail(new ErrorInfo('Retry', $verdict->getMessage()), true, $verdict->after),
            $verdict instanceof Snooze => Outcome::snooze($verdict->delay),
            $verdict instanceof Cancel => Outcome::cancelled('cancel'),
            $verdict instanceof Discard => Outcome::fail(new ErrorInfo('Discard', $verdict->getMessage()), false, said: 'discard'),
            $verdict instanceof Complete => self::ofComplete($context, $verdict),
            default => Outcome::fail(ErrorInfo::of($verdict), retryable: false),
        };
    }

    private static function ofComplete(JobContext $context, Complete $verdict): Outcome
    {
        try {
            foreach ($verdict->dispatch as $job) {
                $context->dispatch($job);
            }
        } catch (\Throwable $error) {
            return Outcome::fail(ErrorInfo::of($error), retryable: false);
        }
        return self::completed($context, $verdict->result);
    }

    private static function mayRetry(Handler $handler, JobContext $context, \Throwable $error): bool
    {
        try {
            return ($handler->shouldRetry)($context, $error);
        } catch (\Throwable) {
            return true;
        }
    }
}
