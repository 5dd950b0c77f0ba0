<?php

declare(strict_types=1);

namespace ProtoJobs\Interop;

use ProtoJobs\Client;
use ProtoJobs\Dispatched;
use ProtoJobs\Exception\ProtoJobsException;
use ProtoJobs\JobRequest;
use ProtoJobs\JobState;
use ProtoJobs\Refused;
use ProtoJobs\StderrLogger;
use ProtoJobs\Version;
use ProtoJobs\Worker\Worker;
use ProtoJobs\Worker\WorkerOptions;
use Symfony\Component\Console\Application;
use Symfony\Component\Console\Command\Command;
use Symfony\Component\Console\Exception\InvalidOptionException;
use Symfony\Component\Console\Input\InputInterface;
use Symfony\Component\Console\Input\InputOption;

/** The commands, and how each is called. All have --quiet of the console: it says nothing of single jobs. */
final class Program extends Application
{
    private const OPTIONS = ['addr', 'queue', 'n', 'spec', 'mode', 'wait', 'job-id', 'in', 'kind', 'slots', 'kinds', 'grace',
        'health-file', 'dir'];

    public function __construct()
    {
        parent::__construct('interop', Version::NUMBER);
        $this->setCatchExceptions(false);
        $this->setAutoExit(false);
        $commands = [
            'dispatch' => $this->dispatch(...),
            'get' => fn (InputInterface $input): int => $this->job($input, null),
            'cancel' => fn (InputInterface $input): int => $this->job($input, 'cancel'),
            'retry' => fn (InputInterface $input): int => $this->job($input, 'retry'),
            'failed' => $this->failed(...),
            'stats' => $this->stats(...),
            'schedule' => $this->schedule(...),
            'watch' => $this->watch(...),
            'work' => $this->work(...),
            'vectors' => static fn (InputInterface $input): int => Vectors::check(self::needed($input, 'dir')) ? 0 : 1,
        ];
        foreach ($commands as $name => $code) {
            $command = (new Command($name))->addOption('json', null, InputOption::VALUE_NONE, 'accepted: output is always JSON');
            foreach (self::OPTIONS as $option) {
                $command->addOption($option, null, InputOption::VALUE_REQUIRED);
            }
            $this->add($command->setCode(static function (InputInterface $input) use ($code): int {
                try {
                    return (int) $code($input);
                } catch (ProtoJobsException $error) {
                    Lines::error($error);
                    return 1;
                }
            }));
        }
    }

    private function client(InputInterface $input): Client
    {
        return new Client($input->getOption('addr'), logger: new StderrLogger());
    }

    private function dispatch(InputInterface $input): int
    {
        $client = $this->client($input);
        $request = SpecReader::read($input->getOption('spec'), $input->getOption('queue'));
        $count = (int) ($input->getOption('n') ?? 1);
        $began = microtime(true);
        $results = match ($input->getOption('mode') ?? 'single') {
            'single' => (static function () use ($client, $request, $count): \Generator {
                for ($number = 0; $number < $count; $number++) {
                    yield $client->dispatch($request);
                }
            })(),
            'batch', 'stream' => $client->dispatchMany(array_fill(0, $count, $request)),
            default => throw new InvalidOptionException('--mode is single, batch or stream'),
        };
        if ($input->getOption('quiet')) {
            return self::tellAll($results, $began);
        }
        $ids = [];
        $code = 0;
        foreach ($results as $result) {
            if ($result instanceof Refused) {
                Lines::error($result->error);
                $code = 1;
                continue;
            }
            $ids[] = $result->jobId;
            Lines::write('dispatched', [
                'job_id' => $result->jobId,
                'outcome' => strtoupper($result->outcome->name),
                ...($result->state === JobState::Unknown ? [] : ['state' => strtoupper($result->state->value)]),
            ]);
        }
        $wait = $input->getOption('wait');
        foreach ($wait === null ? [] : $ids as $id) {
            Lines::job('finished', $client->waitFor($id, (float) $wait));
        }
        return $code;
    }

    /** @param iterable<Dispatched|Refused> $results which are only sent as they are looped over */
    private static function tellAll(iterable $results, float $began): int
    {
        $jobs = 0;
        foreach ($results as $result) {
            if ($result instanceof Refused) {
                throw $result->error;
            }
            $jobs++;
        }
        Lines::write('dispatched_all', ['jobs' => $jobs, 'seconds' => microtime(true) - $began]);
        return 0;
    }

    private function job(InputInterface $input, ?string $act): int
    {
        $client = $this->client($input);
        $id = self::needed($input, 'job-id');
        match ($act) {
            'cancel' => $client->cancel($id),
            'retry' => $client->retry($id),
            default => null,
        };
        Lines::job('job', $client->get($id, full: true));
        return 0;
    }

    private function failed(InputInterface $input): int
    {
        $left = (int) ($input->getOption('n') ?? PHP_INT_MAX);
        foreach ($this->client($input)->failedJobs($input->getOption('queue'), full: true) as $job) {
            if ($left-- <= 0) {
                break;
            }
            Lines::job('job', $job);
        }
        return 0;
    }

    private function stats(InputInterface $input): int
    {
        foreach ($this->client($input)->stats($input->getOption('queue')) as $stats) {
            Lines::write('stats', [
                'queue' => $stats->queue,
                'pending' => $stats->pending,
                'scheduled' => $stats->scheduled,
                'running' => $stats->running,
                'retrying' => $stats->retrying,
                'completed' => $stats->completed,
                'failed' => $stats->failed,
                'cancelled' => $stats->cancelled,
                'expired' => $stats->expired,
            ]);
        }
        return 0;
    }

    private function schedule(InputInterface $input): int
    {
        $request = new JobRequest(self::needed($input, 'kind'), queue: $input->getOption('queue'));
        $id = $this->client($input)->scheduleIn($request, null, (float) self::needed($input, 'in'));
        Lines::write('dispatched', ['job_id' => $id, 'outcome' => 'CREATED', 'state' => 'SCHEDULED']);
        return 0;
    }

    private function watch(InputInterface $input): int
    {
        $queue = $input->getOption('queue');
        $left = (int) ($input->getOption('n') ?? PHP_INT_MAX);
        $ready = static fn () => Lines::write('watching');
        foreach ($this->client($input)->watch($queue === null ? [] : [$queue], onReady: $ready) as $change) {
            $type = (string) preg_replace('/^job\./', '', $change->type);
            Lines::write('job_event', ['type' => $type, 'job_id' => $change->jobId, 'attempt' => $change->attempt]);
            if (--$left <= 0) {
                break;
            }
        }
        return 0;
    }

    private function work(InputInterface $input): int
    {
        $most = (int) ($input->getOption('n') ?? 0);
        $isQuiet = $input->getOption('quiet');
        $options = new WorkerOptions(
            queues: [self::needed($input, 'queue')],
            slots: (int) ($input->getOption('slots') ?? 10),
            grace: (float) ($input->getOption('grace') ?? 10.0),
            healthFile: $input->getOption('health-file'),
            maxJobs: $isQuiet && $most > 0 ? $most : null,
        );
        $worker = new Worker($input->getOption('addr'), $options, logger: new StderrLogger());
        $kinds = $input->getOption('kinds');
        foreach (Kinds::all() as $kind => $handler) {
            if ($kinds === null || in_array($kind, explode(',', $kinds), true)) {
                $worker->handle($kind, $handler);
            }
        }
        if ($isQuiet) {
            $worker->observe(new LineObserver());
        } else {
            $observer = new JobLineObserver($most);
            $observer->worker = $worker->observe($observer);
        }
        return $worker->run()->code();
    }

    private static function needed(InputInterface $input, string $option): string
    {
        return $input->getOption($option) ?? throw new InvalidOptionException("--$option is needed");
    }
}
