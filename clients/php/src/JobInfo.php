<?php

declare(strict_types=1);

namespace ProtoJobs;

use ProtoJobs\Payload\Payload;
use Protojobs\V1\Job as Message;
use Protojobs\V1\JobSpec;

/** A stored job, from one snapshot. Times are UTC. Payload, headers and result are there in full views only. */
final class JobInfo
{
    /**
     * @param array<string, string> $labels
     * @param array<string, string>|null $headers
     * @param float|null $runTimeout seconds
     * @param float|null $progress 0.0 to 1.0
     */
    public function __construct(
        public readonly string $id,
        public readonly string $kind,
        public readonly string $queue,
        public readonly JobState $state,
        public readonly int $priority,
        public readonly int $attempt,
        public readonly int $failures,
        public readonly int $crashes,
        public readonly ?\DateTimeImmutable $createdAt,
        public readonly ?\DateTimeImmutable $nextAt,
        public readonly ?\DateTimeImmutable $startedAt,
        public readonly ?\DateTimeImmutable $finishedAt,
        public readonly ?\DateTimeImmutable $expireAt,
        public readonly string $worker,
        public readonly string $reason,
        public readonly array $labels,
        public readonly string $fairnessKey,
        public readonly string $concurrencyKey,
        public readonly string $contentType,
        public readonly RetryPolicy $retry,
        public readonly ?float $runTimeout,
        public readonly bool $cancelRequested,
        public readonly ?string $parentJobId,
        public readonly ?float $progress,
        public readonly ?string $progressMessage,
        public readonly ?JobErrorInfo $lastError,
        public readonly ?string $payload,
        public readonly ?array $headers,
        public readonly ?string $result,
    ) {
    }

    /** Reads the message. @internal */
    public static function ofMessage(Message $job, bool $full): self
    {
        $spec = $job->getSpec() ?? new JobSpec();
        return new self(
            id: $job->getId(),
            kind: $spec->getKind(),
            queue: $spec->getQueue(),
            state: JobState::ofNumber($job->getState()),
            priority: $spec->getPriority() ?: 5,
            attempt: $job->getAttempt(),
            failures: $job->getFailures(),
            crashes: $job->getCrashes(),
            createdAt: Times::time($job->getCreateTime()),
            nextAt: Times::time($job->getNextTime()),
            startedAt: Times::time($job->getStartTime()),
            finishedAt: Times::time($job->getFinishTime()),
            expireAt: Times::time($spec->getExpireTime()),
            worker: $job->getWorker(),
            reason: $job->getReason(),
            labels: iterator_to_array($spec->getLabels()),
            fairnessKey: $spec->getFairnessKey(),
            concurrencyKey: $spec->getConcurrencyKey(),
            contentType: $spec->getContentType() ?: Payload::JSON,
            retry: RetryPolicy::ofMessage($job->getRetry()),
            runTimeout: Times::seconds($job->getRunTimeout()),
            cancelRequested: $job->getCancelRequested(),
            parentJobId: $job->getParentJobId() ?: null,
            progress: $job->getProgress()?->getRatio(),
            progressMessage: $job->getProgress()?->getMessage(),
            lastError: JobErrorInfo::ofMessage($job->getLastError()),
            payload: $full ? $spec->getPayload() : null,
            headers: $full ? iterator_to_array($spec->getHeaders()) : null,
            result: $full ? $job->getResult() : null,
        );
    }
}
