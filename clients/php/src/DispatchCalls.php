<?php

declare(strict_types=1);

namespace ProtoJobs;

use ProtoJobs\Exception\JobIdTimeException;
use ProtoJobs\Exception\ProtoJobsException;
use Protojobs\V1\DispatchBatchRequest;
use Protojobs\V1\DispatchBatchResponse;
use Protojobs\V1\DispatchRequest;
use Protojobs\V1\DispatchResponse;
use Protojobs\V1\JobSpec;

/** The part of the client that stores jobs. */
trait DispatchCalls
{
    private const MAX_ITEMS = 1000;
    /** Room for what surrounds the jobs of a batch. */
    private const SLACK_BYTES = 64 * 1024;

    /**
     * Stores a job and returns its id and what became of the dispatch; it is stored when this returns.
     *
     * @param string|Job|JobRequest $job a kind, the name of a job class, or a job or request
     * @param mixed $data becomes JSON, unless it is a Payload
     * @param mixed ...$options of JobRequest by name: queue, delay, runAt, priority, headers, labels, retry, unique, ...
     */
    public function dispatch(string|Job|JobRequest $job, mixed $data = null, mixed ...$options): Dispatched
    {
        $request = JobRequest::of($job, $data, ...$options);
        return $this->learning($request, fn (): Dispatched => $this->dispatchOnce($request));
    }

    /** Stores a job that starts $delay seconds (or an interval) after it was stored. */
    public function dispatchLater(
        string|Job|JobRequest $job,
        mixed $data,
        int|float|\DateInterval $delay,
        mixed ...$options,
    ): Dispatched {
        return $this->dispatch($job, $data, ...['delay' => $delay, ...$options]);
    }

    /**
     * Stores many jobs, in as few calls as possible; results come in the order of the requests, as they are stored.
     *
     * Lazy: nothing is sent before the result is looped over. What fails of one job is its result, a Refused.
     *
     * @param iterable<string|Job|JobRequest> $jobs
     * @return \Generator<int, Dispatched|Refused>
     */
    public function dispatchMany(iterable $jobs): \Generator
    {
        $trace = Trace::headers();
        $specs = [];
        $size = 0;
        $room = $this->connection->options->maxMessageBytes - self::SLACK_BYTES;
        $count = 0;
        foreach ($jobs as $job) {
            $request = JobRequest::of($job);
            $spec = Specs::make($request, $request->jobId ?? $this->ids->next(), $this->codec, $trace);
            $bytes = strlen($spec->serializeToString()) + 8;
            if ($specs !== [] && (count($specs) === self::MAX_ITEMS || $size + $bytes > $room)) {
                foreach ($this->sendBatch($specs) as $result) {
                    yield $count++ => $result;
                }
                [$specs, $size] = [[], 0];
            }
            $specs[] = $spec;
            $size += $bytes;
        }
        foreach ($specs === [] ? [] : $this->sendBatch($specs) as $result) {
            yield $count++ => $result;
        }
    }

    /**
     * Stores up to 1000 jobs, all or none.
     *
     * @param list<string|Job|JobRequest> $jobs
     * @return list<Dispatched>
     * @throws ProtoJobsException the first refusal; then nothing was stored
     */
    public function dispatchAtomic(array $jobs): array
    {
        if ($jobs === []) {
            return [];
        }
        $trace = Trace::headers();
        $specs = [];
        foreach ($jobs as $job) {
            $request = JobRequest::of($job);
            $specs[] = Specs::make($request, $request->jobId ?? $this->ids->next(), $this->codec, $trace);
        }
        $results = [];
        foreach ($this->storeBatch($specs, atomic: true) as $result) {
            $results[] = $result instanceof Refused ? throw $result->error : $result;
        }
        return $results;
    }

    private function dispatchOnce(JobRequest $request): Dispatched
    {
        $spec = Specs::make($request, $request->jobId ?? $this->ids->next(), $this->codec, Trace::headers());
        $answer = $this->connection->call(
            'JobService/Dispatch',
            (new DispatchRequest())->setSpec($spec),
            DispatchResponse::class,
            $this->connection->options->dispatchDeadline,
        );
        return new Dispatched(
            $answer->getJobId(),
            DispatchOutcome::from($answer->getOutcome()),
            JobState::ofNumber($answer->getState()),
        );
    }

    /**
     * Makes a call that chooses an id; once more where the server says that our clock is wrong.
     *
     * @template T
     * @param \Closure(): T $call
     * @return T
     */
    private function learning(JobRequest $request, \Closure $call): mixed
    {
        try {
            return $call();
        } catch (JobIdTimeException $error) {
            if ($request->jobId !== null || !$this->ids->learn($error->serverTime())) {
                throw $error;
            }
            return $call();
        }
    }

    /**
     * @param list<JobSpec> $specs
     * @return list<Dispatched|Refused>
     */
    private function sendBatch(array $specs): array
    {
        try {
            return $this->storeBatch($specs, atomic: false);
        } catch (ProtoJobsException $error) {
            return array_map(static fn (JobSpec $spec): Refused => new Refused($spec->getId(), $error), $specs);
        }
    }

    /**
     * @param list<JobSpec> $specs
     * @return list<Dispatched|Refused>
     */
    private function storeBatch(array $specs, bool $atomic): array
    {
        $answer = $this->connection->call(
            'JobService/DispatchBatch',
            (new DispatchBatchRequest())->setSpecs($specs)->setAtomic($atomic),
            DispatchBatchResponse::class,
            $this->connection->options->dispatchDeadline,
        );
        $results = [];
        foreach ($answer->getResults() as $place => $result) {
            $id = $result->getJobId() ?: $specs[$place]->getId();
            $results[] = $result->getResult() === 'error'
                ? new Refused($id, Statuses::fromStatus($result->getError()))
                : new Dispatched($id, DispatchOutcome::from($result->getOutcome()));
        }
        return $results;
    }
}
