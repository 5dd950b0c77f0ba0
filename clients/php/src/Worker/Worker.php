<?php

declare(strict_types=1);

namespace ProtoJobs\Worker;

use ProtoJobs\Job;
use ProtoJobs\Options;
use ProtoJobs\Payload\Codec;
use ProtoJobs\Payload\PlainCodec;
use ProtoJobs\Times;
use ProtoJobs\Transport\CurlGrpcTransport;
use ProtoJobs\Transport\Transport;
use Psr\Log\LoggerInterface;
use Psr\Log\NullLogger;

/**
 * Takes jobs of some queues and runs their handlers, each in a forked process.
 *
 *     $worker = new Worker(options: new WorkerOptions(queues: ['critical' => 5, 'default' => 1], slots: 4));
 *     $worker->register(SendEmailJob::class);
 *     $worker->handle('resize', function (array $data, JobContext $context) { ... });
 *     exit($worker->run()->code());
 *
 * Needs the extensions pcntl and posix, and the command line. This process runs no handler and holds no connection: it only
 * decides. So whatever a handler does, renewals go on; a handler that does not stop is killed with its process. What handlers
 * need (a database, a cache) they open themselves, or in a listener of job.processing: connections do not survive a fork.
 */
final class Worker
{
    private const TICK_SECONDS = 0.1;
    private const RARE_SECONDS = 1.0;

    /** How it reaches the server. */
    public readonly Options $connection;
    /** How it works. */
    public readonly WorkerOptions $options;
    private readonly Registry $registry;
    private readonly Listeners $listeners;
    private Observer $observer;
    private int $stops = 0;
    private int $obeyed = 0;
    private int $pid = 0;
    private bool $isQuiet = false;

    /**
     * Describes a worker; nothing connects before `run`.
     *
     * @param Options|string|null $server an address, Options, or null for PROTOJOBS_* of the environment
     * @param (\Closure(): Transport)|null $transport makes what carries the calls; default: libcurl
     */
    public function __construct(
        Options|string|null $server = null,
        ?WorkerOptions $options = null,
        private readonly Codec $codec = new PlainCodec(),
        private readonly LoggerInterface $logger = new NullLogger(),
        private readonly ?\Closure $transport = null,
    ) {
        $this->connection = $server instanceof Options ? $server : Options::fromEnvironment(address: $server);
        $this->options = $options ?? new WorkerOptions();
        $this->registry = new Registry();
        $this->listeners = new Listeners($logger);
        $this->observer = new NullObserver();
    }

    /**
     * Registers job classes under their kinds.
     *
     * @param class-string<Job> ...$classes
     */
    public function register(string ...$classes): self
    {
        foreach ($classes as $class) {
            if (!is_subclass_of($class, Job::class)) {
                throw new \ValueError("$class is no subclass of " . Job::class);
            }
            $this->registry->add(Handler::ofClass($class, $class::kind()));
        }
        return $this;
    }

    /**
     * Registers every job class of a namespace: the kind App.Jobs.SendEmail is the class App\Jobs\SendEmail.
     *
     * No other class is ever made because a job names it. The worker then asks for jobs of all kinds of its queues.
     */
    public function registerNamespace(string $namespace): self
    {
        $this->registry->addNamespace($namespace);
        return $this;
    }

    /**
     * Registers a function for a kind.
     *
     * @param callable(mixed, JobContext): mixed $handler gets the data and the context
     * @param float|null $timeout seconds; may shorten the job's run timeout
     * @param class-string|callable(mixed): mixed|null $payload what makes the handler's argument of the data; default: the class of
     *     its first parameter, made with the data as named arguments. Data that does not fit fails the job without retries. A
     *     handler whose first parameter is a Payload gets the bytes as they are.
     * @param (callable(\Throwable, JobContext): bool)|null $shouldRetry may stop retries, never add any
     * @param (callable(JobContext, \Throwable): void)|null $failed is called once the job has failed for good
     */
    public function handle(
        string $kind,
        callable $handler,
        ?float $timeout = null,
        string|callable|null $payload = null,
        ?callable $shouldRetry = null,
        ?callable $failed = null,
    ): self {
        $this->registry->add(Handler::ofCallable($kind, $handler, $timeout, $payload, $shouldRetry, $failed));
        return $this;
    }

    /**
     * Calls $listener at every such event: job.processing, job.processed and job.failed where the handler runs,
     * worker.starting, worker.stopped and worker.memory_exceeded in this process. See JobEvent.
     *
     * @param callable(\ProtoJobs\JobEvent): mixed $listener
     */
    public function on(string $event, callable $listener): self
    {
        $this->listeners->add($event, $listener);
        return $this;
    }

    /** Lets somebody hear what the worker does; an error of theirs is logged and changes nothing else. */
    public function observe(Observer $observer): self
    {
        $this->observer = new GuardedObserver($observer, $this->logger);
        return $this;
    }

    /** Leaves as after SIGTERM; a second call as after a second one. For signal handlers, listeners and handlers. */
    public function stop(): void
    {
        if ($this->pid !== 0 && getmypid() !== $this->pid) {
            posix_kill($this->pid, SIGTERM); // called where a handler runs
        } else {
            $this->stops++;
        }
    }

    /** Takes no more jobs, as after SIGUSR1. */
    public function quiet(): void
    {
        $this->isQuiet = true;
    }

    /**
     * Serves until the worker ends; returns why.
     *
     * SIGTERM and SIGINT: running jobs may finish for `grace` seconds, then are asked to stop, and killed after `stopGrace`
     * more; what is not done goes back. A second one: everything goes back now. SIGUSR1: takes no more jobs.
     *
     * @throws \LogicException without the extensions pcntl and posix, and where no handler is registered
     */
    public function run(): ExitReason
    {
        if (!extension_loaded('pcntl') || !extension_loaded('posix')) {
            throw new \LogicException('a worker needs the extensions pcntl and posix');
        }
        if ($this->registry->isEmpty()) {
            throw new \LogicException('no handler is registered');
        }
        $this->pid = (int) getmypid();
        $wasAsync = pcntl_async_signals(true);
        $before = [];
        foreach ([SIGTERM, SIGINT, SIGUSR1] as $signal) {
            $before[$signal] = pcntl_signal_get_handler($signal);
            pcntl_signal($signal, fn (int $number) => $number === SIGUSR1 ? $this->quiet() : $this->stop());
        }
        try {
            return $this->serve();
        } finally {
            foreach ($before as $signal => $handler) {
                pcntl_signal($signal, $handler);
            }
            pcntl_async_signals($wasAsync);
        }
    }

    private function serve(): ExitReason
    {
        $began = Times::monotonic();
        $forks = new Forks();
        $acquires = new Lane($forks, $this->newTransport());
        $reports = new Lane($forks, $this->newTransport());
        $main = function (Pipe $pipe): void {
            (new HandlerProgram($pipe, $this->registry, $this->codec, $this->listeners, $this->logger))->serve();
        };
        $processes = new Processes($forks, $main, $reports->guard(...));
        $holding = new Holding(
            $this->options,
            $this->registry,
            $processes,
            $this->listeners,
            $this->codec,
            $this->observer,
            $this->logger,
        );
        $leaving = new Leaving($this->options, $holding, $this->observer, $this->logger);
        $answers = new Answers($holding, $this->observer, $this->logger);
        $requests = new Requests($this->options, $this->registry->kinds());
        $session = new Session(
            $this->options,
            $requests,
            $holding,
            $leaving,
            $answers,
            $this->observer,
            $this->logger,
            $acquires,
            $reports,
        );
        $health = $this->options->healthFile === null ? null : new Health($this->options->healthFile, $this->logger);
        $about = ['worker' => $this->options->name, 'queues' => array_keys($this->options->queues)];
        $this->listeners->emit('worker.starting', $about);
        $rareAt = 0.0;
        try {
            do {
                $now = Times::monotonic();
                $this->obey($leaving, $now);
                $holding->collect($now);
                $holding->watch($now);
                $session->tick($now);
                if ($now >= $rareAt) {
                    $rareAt = $now + self::RARE_SECONDS;
                    $health?->show($session->isConnected || $now < $session->downSince + $this->options->unhealthyAfter);
                    $this->applyRules($holding, $leaving, $began, $now);
                }
                $isOver = $leaving->press($now, $session->isAcquiring());
                if (!$isOver) {
                    $pipes = array_values(array_filter([$acquires->pipe(), $reports->pipe(), ...$processes->pipes()]));
                    $writers = array_values(array_filter($pipes, static fn (Pipe $pipe): bool => $pipe->hasOutgoing()));
                    Pipe::select($pipes, $writers, self::TICK_SECONDS);
                }
            } while (!$isOver);
        } finally {
            $processes->close();
            $acquires->close();
            $reports->close();
            $health?->remove();
        }
        $reason = $leaving->exit ?? ExitReason::Signal;
        $this->listeners->emit('worker.stopped', [...$about, 'processed' => $holding->processed, 'reason' => $reason->value]);
        $this->observer->stopped($holding->processed);
        return $reason;
    }

    private function obey(Leaving $leaving, float $now): void
    {
        if ($this->isQuiet) {
            $this->isQuiet = false;
            $leaving->quiet();
        }
        for (; $this->obeyed < $this->stops; $this->obeyed++) {
            $leaving->leave($this->obeyed === 0 ? ExitReason::Signal : ExitReason::Killed, $now);
        }
    }

    private function applyRules(Holding $holding, Leaving $leaving, float $began, float $now): void
    {
        if ($holding->phase === Phase::Leaving) {
            return;
        }
        if ($this->options->maxLifetime !== null && $now >= $began + $this->options->maxLifetime) {
            $leaving->leave(ExitReason::MaxLifetime, $now);
        }
        $memory = max($holding->memory, memory_get_usage(true));
        if ($this->options->maxMemory !== null && $memory > $this->options->maxMemory) {
            $this->logger->warning('memory exceeded', ['memory_bytes' => $memory, 'limit_bytes' => $this->options->maxMemory]);
            $about = ['worker' => $this->options->name, 'memory_bytes' => $memory];
            $this->listeners->emit('worker.memory_exceeded', $about);
            $leaving->leave(ExitReason::MaxMemory, $now);
        }
    }

    private function newTransport(): Transport
    {
        return $this->transport === null ? new CurlGrpcTransport($this->connection) : ($this->transport)();
    }
}
