<?php

declare(strict_types=1);

namespace ProtoJobs;

use ProtoJobs\Exception\JobCancelledException;
use ProtoJobs\Exception\JobEndedException;
use ProtoJobs\Exception\JobExpiredException;
use ProtoJobs\Exception\JobFailedException;
use ProtoJobs\Exception\JobFinalException;
use ProtoJobs\Exception\JobNotFinalException;
use ProtoJobs\Exception\JobRunningException;
use ProtoJobs\Exception\WaitTimeoutException;
use ProtoJobs\Payload\Payload;
use ProtoJobs\Payload\PayloadContext;
use ProtoJobs\Payload\PayloadUse;
use Protojobs\V1\CancelRequest;
use Protojobs\V1\CancelResponse;
use Protojobs\V1\DeleteJobRequest;
use Protojobs\V1\DeleteJobResponse;
use Protojobs\V1\GetJobRequest;
use Protojobs\V1\GetJobResponse;
use Protojobs\V1\JobFilter;
use Protojobs\V1\JobOrder;
use Protojobs\V1\JobView;
use Protojobs\V1\ListAttemptsRequest;
use Protojobs\V1\ListAttemptsResponse;
use Protojobs\V1\ListJobsRequest;
use Protojobs\V1\ListJobsResponse;
use Protojobs\V1\RetryRequest;
use Protojobs\V1\RetryResponse;
use Protojobs\V1\WaitJobRequest;
use Protojobs\V1\WaitJobResponse;

/** The part of the client about stored jobs. Unless said otherwise: throws JobNotFoundException. */
trait JobCalls
{
    /** Below what proxies cut. */
    private const LONG_POLL = 20.0;
    private const LONG_POLL_SLACK = 5.0;

    /** Returns a job; with payload, headers and result if $full. */
    public function get(string $jobId, bool $full = false): JobInfo
    {
        $view = $full ? JobView::JOB_VIEW_FULL : JobView::JOB_VIEW_BASIC;
        $request = (new GetJobRequest())->setJobId($jobId)->setView($view);
        $answer = $this->connection->call('JobService/GetJob', $request, GetJobResponse::class);
        return JobInfo::ofMessage($answer->getJob(), $full);
    }

    /**
     * Returns the jobs for which all holds that is given, page by page as they are looped over; newest first, or oldest.
     *
     * @param list<string> $queues
     * @param list<string> $kinds
     * @param list<JobState> $states
     * @param array<string, string> $labels
     * @param string $filter a condition in the filter language: `queue = mail and state in (failed, cancelled)`
     * @param string $parent jobs that the end of this one has stored
     * @return \Generator<int, JobInfo>
     */
    public function list(
        array $queues = [],
        array $kinds = [],
        array $states = [],
        array $labels = [],
        string $filter = '',
        string $parent = '',
        bool $oldestFirst = false,
        bool $full = false,
        int $pageSize = 100,
    ): \Generator {
        $request = (new ListJobsRequest())
            ->setFilter($this->jobFilter($queues, $kinds, $states, $labels)->setParentJobId($parent))
            ->setPageSize($pageSize)
            ->setView($full ? JobView::JOB_VIEW_FULL : JobView::JOB_VIEW_BASIC)
            ->setOrder($oldestFirst ? JobOrder::JOB_ORDER_OLDEST : JobOrder::JOB_ORDER_NEWEST)
            ->setExpression($filter);
        $count = 0;
        do {
            $answer = $this->connection->call('JobService/ListJobs', $request, ListJobsResponse::class);
            foreach ($answer->getJobs() as $job) {
                yield $count++ => JobInfo::ofMessage($job, $full);
            }
            $request->setPageToken($answer->getNextPageToken());
        } while ($answer->getNextPageToken() !== '');
    }

    /**
     * Returns the jobs that failed for good, of one queue or of all, newest first.
     *
     * @return \Generator<int, JobInfo>
     */
    public function failedJobs(?string $queue = null, bool $full = false): \Generator
    {
        return $this->list($queue === null ? [] : [$queue], states: [JobState::Failed], full: $full);
    }

    /**
     * Returns the attempts of a job, oldest first.
     *
     * @return \Generator<int, AttemptInfo>
     */
    public function attempts(string $jobId, int $pageSize = 100): \Generator
    {
        $request = (new ListAttemptsRequest())->setJobId($jobId)->setPageSize($pageSize);
        $count = 0;
        do {
            $answer = $this->connection->call('JobService/ListAttempts', $request, ListAttemptsResponse::class);
            foreach ($answer->getAttempts() as $attempt) {
                yield $count++ => AttemptInfo::ofMessage($attempt);
            }
            $request->setPageToken($answer->getNextPageToken());
        } while ($answer->getNextPageToken() !== '');
    }

    /**
     * Waits until the job is final and returns it, with payload and result, however it ended.
     *
     * @param float|null $timeout seconds; null waits for ever
     * @throws WaitTimeoutException when the wait is over first; the job goes on
     */
    public function waitFor(string $jobId, ?float $timeout = null): JobInfo
    {
        $end = $timeout === null ? INF : Times::monotonic() + $timeout;
        while (true) {
            $wait = max(0.0, min(self::LONG_POLL, $end - Times::monotonic()));
            $request = (new WaitJobRequest())->setJobId($jobId)->setWait(Times::duration($wait));
            $deadline = $wait + self::LONG_POLL_SLACK;
            $answer = $this->connection->call('JobService/WaitJob', $request, WaitJobResponse::class, $deadline);
            $job = JobInfo::ofMessage($answer->getJob(), true);
            if ($answer->getDone()) {
                return $job;
            }
            if (Times::monotonic() >= $end) {
                throw new WaitTimeoutException("job $jobId is {$job->state->value} still");
            }
        }
    }

    /**
     * Waits until the job is final and returns its result: parsed JSON.
     *
     * @param float|null $timeout seconds; null waits for ever
     * @throws JobEndedException if it ended otherwise than completed
     * @throws WaitTimeoutException when the wait is over first
     */
    public function wait(string $jobId, ?float $timeout = null): mixed
    {
        return $this->resultOf($this->waitFor($jobId, $timeout));
    }

    /**
     * Returns the result of a job that has completed: parsed JSON.
     *
     * @throws JobNotFinalException if it has not ended yet
     * @throws JobEndedException if it ended otherwise than completed
     */
    public function result(string $jobId): mixed
    {
        return $this->resultOf($this->get($jobId, full: true));
    }

    /** Returns the payload of a job, decoded by the codec of this client. */
    public function payload(string $jobId): Payload
    {
        $job = $this->get($jobId, full: true);
        $context = new PayloadContext($job->kind, $job->queue, jobId: $job->id);
        return $this->codec->decode(new Payload((string) $job->payload, $job->contentType), $context);
    }

    /**
     * Cancels a job: at once while it waits, by its worker while it runs; Running means the worker was asked.
     *
     * @param float|null $deadline seconds after which the lease of a running job is revoked; default 30
     * @throws JobFinalException if it ended otherwise before
     */
    public function cancel(string $jobId, ?float $deadline = null): JobState
    {
        $request = (new CancelRequest())->setJobId($jobId)->setDeadline(Times::duration($deadline));
        return JobState::ofNumber($this->connection->call('JobService/Cancel', $request, CancelResponse::class)->getState());
    }

    /**
     * Takes a final job up again under its id, or runs a scheduled or retrying one now.
     *
     * The job is read first, so that a repeated call runs it once.
     *
     * @param mixed $data replaces the payload, unless null
     * @throws JobNotFinalException if it is pending or running
     */
    public function retry(string $jobId, mixed $data = null, ?\DateTimeInterface $runAt = null): Retried
    {
        $job = $this->get($jobId);
        $request = (new RetryRequest())
            ->setJobId($jobId)
            ->setExpectedAttempt($job->attempt)
            ->setRunTime(Times::timestamp($runAt));
        if ($data !== null) {
            $context = new PayloadContext($job->kind, $job->queue, jobId: $job->id);
            $payload = $this->codec->encode(Payload::encode($data), $context);
            $request->setPayload($payload->data)->setContentType($payload->contentType);
        }
        $answer = $this->connection->call('JobService/Retry', $request, RetryResponse::class);
        return new Retried($jobId, JobState::ofNumber($answer->getState()), $answer->getAlready());
    }

    /**
     * Removes a job with its history; its id stays taken.
     *
     * @throws JobRunningException while it runs
     */
    public function delete(string $jobId): void
    {
        $this->connection->call('JobService/DeleteJob', (new DeleteJobRequest())->setJobId($jobId), DeleteJobResponse::class);
    }

    /**
     * @param list<string> $queues
     * @param list<string> $kinds
     * @param list<JobState> $states
     * @param array<string, string> $labels
     */
    private function jobFilter(array $queues, array $kinds, array $states, array $labels): JobFilter
    {
        $numbers = array_map(static fn (JobState $state): int => $state->number(), $states);
        return (new JobFilter())->setQueues($queues)->setKinds($kinds)->setStates($numbers)->setLabels($labels);
    }

    private function resultOf(JobInfo $job): mixed
    {
        if ($job->state === JobState::Completed) {
            $context = new PayloadContext($job->kind, $job->queue, PayloadUse::Result, $job->id);
            return $this->codec->decode(new Payload((string) $job->result), $context)->decode();
        }
        throw match ($job->state) {
            JobState::Failed => JobFailedException::of($job),
            JobState::Cancelled => JobCancelledException::of($job),
            JobState::Expired => JobExpiredException::of($job),
            default => new JobNotFinalException("job {$job->id} is {$job->state->value}", reason: 'JOB_NOT_FINAL'),
        };
    }
}
