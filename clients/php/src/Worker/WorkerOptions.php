<?php

declare(strict_types=1);

namespace ProtoJobs\Worker;

/** Every knob of a worker. Times are seconds. */
final class WorkerOptions
{
    /** @var array<string, int> name => weight */
    public readonly array $queues;
    /** Label for people. */
    public readonly string $name;

    /**
     * @param array<int|string, int|string> $queues names, or name => weight (1 to 1000); 1 to 100 queues
     * @param bool $strict a queue is served only while those before it have nothing
     * @param int $slots handlers that run at once, each in a process of its own
     * @param string|null $name label for people; default host:pid
     * @param float|null $sessionTtl how long leases outlive the last call, 2 to 600; null: the server's (30)
     * @param float $heartbeat time between two renewals while something runs; also how late a cancel may come
     * @param float $grace soft stop: running handlers may finish for so long
     * @param float $stopGrace hard stop: then they are asked to stop, and after so long killed
     * @param bool $untilEmpty leave once nothing waits
     * @param float $emptyGrace untilEmpty: leave after so long without a job, whatever the server counts
     * @param int|null $maxJobs leave after so many jobs
     * @param int|null $maxMemory leave when the worker, or a handler's process, has grown to so many bytes
     * @param float|null $maxLifetime leave after so long
     * @param string|null $healthFile exists, and is touched, while the worker is healthy
     * @param float $unhealthyAfter so long without an answer of a server
     * @throws \ValueError for what cannot work
     */
    public function __construct(
        array $queues = ['default'],
        public readonly bool $strict = false,
        public readonly int $slots = 1,
        ?string $name = null,
        public readonly ?float $sessionTtl = null,
        public readonly float $heartbeat = 1.0,
        public readonly float $grace = 30.0,
        public readonly float $stopGrace = 5.0,
        public readonly bool $untilEmpty = false,
        public readonly float $emptyGrace = 10.0,
        public readonly ?int $maxJobs = null,
        public readonly ?int $maxMemory = null,
        public readonly ?float $maxLifetime = null,
        public readonly ?string $healthFile = null,
        public readonly float $unhealthyAfter = 120.0,
    ) {
        $weights = [];
        foreach ($queues as $key => $value) {
            is_int($key) ? $weights[(string) $value] = 1 : $weights[$key] = (int) $value;
        }
        $this->queues = $weights;
        $this->name = $name ?? gethostname() . ':' . getmypid();
        if (count($weights) < 1 || count($weights) > 100) {
            throw new \ValueError('a worker reads 1 to 100 queues');
        }
        if (min($weights) < 1 || max($weights) > 1000) {
            throw new \ValueError('weights are 1 to 1000');
        }
        if ($slots < 1 || $slots > 1000) {
            throw new \ValueError('slots is 1 to 1000');
        }
        if ($sessionTtl !== null && ($sessionTtl < 2 || $sessionTtl > 600)) {
            throw new \ValueError('sessionTtl is 2 to 600 s');
        }
        if ($heartbeat <= 0 || min($grace, $stopGrace, $emptyGrace) < 0) {
            throw new \ValueError('heartbeat must be more than 0 s; grace, stopGrace and emptyGrace at least 0 s');
        }
        if ($maxJobs !== null && $maxJobs < 1) {
            throw new \ValueError('maxJobs is at least 1');
        }
    }
}
