<?php

declare(strict_types=1);

namespace ProtoJobs\Worker;

/** Hears what a worker does, in the worker's own process; for logs and metrics. Must return soon: renewals wait for it. */
interface Observer
{
    /**
     * A server has answered: at the start, and again after an outage.
     *
     * @param string $session a name of the session, for logs; not its id, which is a secret
     * @param bool $resumed the session is still the same
     */
    public function ready(string $session, bool $resumed): void;

    /** A handler is about to begin. */
    public function started(JobContext $context): void;

    /**
     * An attempt has ended here; the server is still to be told.
     *
     * @param string $outcome complete, fail, snooze, cancel, discard, cancelled, lost, or abandoned (given back unfinished)
     */
    public function ended(string $jobId, int $attempt, string $outcome): void;

    /** The server has answered an outcome. @param string $code OK, ALREADY, LEASE_SUPERSEDED, INVALID or RETRY_LATER */
    public function settled(string $jobId, int $attempt, string $code): void;

    /** The worker takes no more jobs. */
    public function draining(): void;

    /** Everything is settled or given back. */
    public function stopped(int $processed): void;
}
