<?php

declare(strict_types=1);

namespace ProtoJobs\Worker;

use ProtoJobs\Exception\UndecodableException;
use ProtoJobs\Job;
use ProtoJobs\JobRequest;
use ProtoJobs\Payload\Codec;
use ProtoJobs\Payload\Payload;
use ProtoJobs\Payload\PayloadContext;
use ProtoJobs\Payload\PayloadUse;
use ProtoJobs\Specs;
use ProtoJobs\Times;
use ProtoJobs\Trace;
use Protojobs\V1\JobSpec;
use Protojobs\V1\LeasedJob;

/** A running attempt, as its handler sees it. */
final class JobContext
{
    private const MAX_CHECKPOINT_BYTES = 64 * 1024;
    private const MAX_PROGRESS_BYTES = 1024;
    private const MAX_CHILDREN = 1000;
    private const MAX_CHILDREN_BYTES = 2 * 1024 * 1024;
    private const DEFAULT_RUN_TIMEOUT = 300.0;

    private ?StopReason $stopReason = null;
    private ?Payload $plain = null;
    private float $began;
    /** @var list<string> */
    private array $children = [];
    private int $childrenBytes = 0;

    /**
     * @internal
     * @param (\Closure(array<string, mixed>): void)|null $tell carries progress and checkpoints to the worker
     */
    public function __construct(
        private readonly LeasedJob $job,
        private readonly Codec $codec,
        private readonly ?float $ownTimeout = null,
        private readonly ?\Closure $tell = null,
    ) {
        $this->began = Times::monotonic();
    }

    /** Id of the job (UUIDv7); the same in all its attempts. */
    public function jobId(): string
    {
        return $this->job->getJobId();
    }

    /** Fencing number of this run: grows at every lease, also where nothing failed. */
    public function attempt(): int
    {
        return $this->job->getAttempt();
    }

    /** Which handler runs it. */
    public function kind(): string
    {
        return $this->spec()->getKind();
    }

    /** Queue it came from. */
    public function queue(): string
    {
        return $this->spec()->getQueue() ?: Specs::DEFAULT_QUEUE;
    }

    /** Counted failures so far. */
    public function failures(): int
    {
        return $this->job->getFailures();
    }

    /** Failures that are retried; one more ends the job as FAILED. */
    public function maxRetries(): int
    {
        return $this->job->getMaxRetries();
    }

    /** A failure now ends the job as FAILED. */
    public function isLastTry(): bool
    {
        return $this->failures() >= $this->maxRetries();
    }

    /** 1 to 9, higher first. */
    public function priority(): int
    {
        return $this->spec()->getPriority() ?: 5;
    }

    /** @return array<string, string> opaque pairs set by the producer */
    public function headers(): array
    {
        return iterator_to_array($this->spec()->getHeaders());
    }

    /** @return array<string, string> indexed pairs set by the producer */
    public function labels(): array
    {
        return iterator_to_array($this->spec()->getLabels());
    }

    /** The trace that the producer was in (W3C Trace Context); null without one. */
    public function traceparent(): ?string
    {
        return $this->headers()['traceparent'] ?? null;
    }

    /** When the job was to start at the earliest, where it was dispatched with a time. */
    public function runAt(): ?\DateTimeImmutable
    {
        return Times::time($this->spec()->getRunTime());
    }

    /**
     * Payload as it was dispatched, without what a codec did to it.
     *
     * @throws InvalidPayload
     */
    public function payload(): Payload
    {
        return $this->plain ??= $this->open($this->spec()->getPayload(), PayloadUse::Payload, $this->spec()->getContentType());
    }

    /**
     * Payload decoded by its media type: JSON as arrays and scalars.
     *
     * @throws InvalidPayload
     */
    public function data(): mixed
    {
        try {
            return $this->payload()->decode();
        } catch (\ValueError | UndecodableException $error) {
            throw new InvalidPayload($error->getMessage(), previous: $error);
        }
    }

    /** The same; null where the payload cannot be decoded. */
    public function dataOrNull(): mixed
    {
        try {
            return $this->data();
        } catch (InvalidPayload) {
            return null;
        }
    }

    /** What an earlier attempt saved last; null if nothing. */
    public function checkpoint(): ?string
    {
        $stored = $this->job->getCheckpoint();
        return $stored === '' ? null : $this->open($stored, PayloadUse::Checkpoint)->data;
    }

    /** Longest run in seconds: the handler's own bound may only shorten the job's. */
    public function runTimeout(): float
    {
        return min(Times::seconds($this->job->getRunTimeout()) ?: self::DEFAULT_RUN_TIMEOUT, $this->ownTimeout ?? INF);
    }

    /** Seconds that the handler may still run; never negative. */
    public function timeLeft(): float
    {
        return max(0.0, $this->began + $this->runTimeout() - Times::monotonic());
    }

    /** The handler should stop. JobStopped has been thrown into it once; this tells those who caught it, too. */
    public function isCancelled(): bool
    {
        return $this->stopReason !== null;
    }

    /** Why the handler should stop; null while it may go on. */
    public function stopReason(): ?StopReason
    {
        return $this->stopReason;
    }

    /**
     * Throws once the handler should stop.
     *
     * @throws JobStopped
     */
    public function throwIfCancelled(): void
    {
        if ($this->stopReason !== null) {
            throw new JobStopped($this->stopReason);
        }
    }

    /** Tells how far the job is, 0.0 to 1.0. Sent at most once a second; the last one always. */
    public function progress(float $ratio, string $message = ''): void
    {
        if (!($ratio >= 0.0 && $ratio <= 1.0)) {
            throw new \ValueError('progress is between 0.0 and 1.0');
        }
        $this->tell(['op' => 'progress', 'ratio' => $ratio, 'message' => ErrorInfo::cut($message, self::MAX_PROGRESS_BYTES)]);
    }

    /** Hands bytes to the next attempt, at most 64 KiB. A later call replaces it. */
    public function saveCheckpoint(string $checkpoint): void
    {
        $stored = $this->codec->encode(new Payload($checkpoint), $this->context(PayloadUse::Checkpoint))->data;
        if (strlen($stored) > self::MAX_CHECKPOINT_BYTES) {
            throw new \ValueError('a checkpoint has at most ' . self::MAX_CHECKPOINT_BYTES . ' bytes');
        }
        $this->tell(['op' => 'checkpoint', 'checkpoint' => $stored]);
    }

    /**
     * Stores a job in the transaction that completes this one; if the attempt ends otherwise, it is never stored.
     *
     * @param mixed ...$options of JobRequest by name
     * @throws \ValueError above 1000 jobs or 2 MiB, and for data that cannot be sent
     */
    public function dispatch(string|Job|JobRequest $job, mixed $data = null, mixed ...$options): void
    {
        $request = JobRequest::of($job, $data, ...$options);
        $trace = array_intersect_key($this->headers(), ['traceparent' => 1, 'tracestate' => 1]);
        $bytes = Specs::make($request, $request->jobId ?? '', $this->codec, Trace::headers() ?: $trace)->serializeToString();
        if (count($this->children) >= self::MAX_CHILDREN || $this->childrenBytes + strlen($bytes) > self::MAX_CHILDREN_BYTES) {
            throw new \ValueError('a completion brings at most 1000 jobs of 2 MiB in all');
        }
        $this->children[] = $bytes;
        $this->childrenBytes += strlen($bytes);
    }

    /**
     * @internal
     * @return list<string>
     */
    public function children(): array
    {
        return $this->children;
    }

    /** Returns the bytes of a result as the server stores them. @internal */
    public function seal(mixed $result): string
    {
        return $this->codec->encode(Payload::encode($result), $this->context(PayloadUse::Result))->data;
    }

    /** Asks the handler to stop. The first reason stays. @internal */
    public function stop(StopReason $reason): void
    {
        $this->stopReason ??= $reason;
    }

    private function spec(): JobSpec
    {
        return $this->job->getSpec() ?? new JobSpec();
    }

    private function context(PayloadUse $use): PayloadContext
    {
        return new PayloadContext($this->kind(), $this->queue(), $use, $this->jobId());
    }

    private function open(string $stored, PayloadUse $use, string $type = ''): Payload
    {
        try {
            return $this->codec->decode(new Payload($stored, $type ?: Payload::JSON), $this->context($use));
        } catch (UndecodableException $error) {
            throw new InvalidPayload($error->getMessage(), previous: $error);
        }
    }

    /** @param array<string, mixed> $message */
    private function tell(array $message): void
    {
        if ($this->tell !== null) {
            ($this->tell)($message);
        }
    }
}
