<?php

declare(strict_types=1);

namespace ProtoJobs;

use ProtoJobs\Payload\Codec;
use ProtoJobs\Payload\Payload;
use ProtoJobs\Payload\PayloadContext;
use Protojobs\V1\JobSpec;

/**
 * Makes the messages of requests.
 *
 * @internal
 */
final class Specs
{
    public const DEFAULT_QUEUE = 'default';

    /**
     * Builds the spec of a request; an empty $jobId leaves the id to the server.
     *
     * @param array<string, string> $trace headers of the trace that the job belongs to
     * @throws \ValueError for data that cannot be encoded
     */
    public static function make(JobRequest $request, string $jobId, Codec $codec, array $trace = []): JobSpec
    {
        $context = new PayloadContext($request->kind, $request->queue ?? self::DEFAULT_QUEUE, jobId: $jobId);
        $payload = $codec->encode(Payload::encode($request->data), $context);
        $headers = isset($request->headers['traceparent']) ? $request->headers : [...$trace, ...$request->headers];
        $spec = (new JobSpec())
            ->setId($jobId)
            ->setQueue($request->queue ?? '')
            ->setKind($request->kind)
            ->setPayload($payload->data)
            ->setContentType($payload->contentType)
            ->setHeaders($headers)
            ->setLabels($request->labels)
            ->setPriority($request->priority ?? 0)
            ->setRunTimeout(Times::duration($request->runTimeout))
            ->setRetry($request->retry?->toMessage())
            ->setExpireTime(Times::timestamp($request->expireAt))
            ->setUnique($request->unique?->toMessage())
            ->setFairnessKey($request->fairnessKey ?? '')
            ->setConcurrencyKey($request->concurrencyKey ?? '')
            ->setResultRetention(Times::duration($request->resultRetention));
        if ($request->delay !== null) {
            $spec->setDelay(Times::duration($request->delay));
        }
        if ($request->runAt !== null) {
            $spec->setRunTime(Times::timestamp($request->runAt));
        }
        return $spec
            ->setOnComplete(self::followers($request->onComplete, $codec, $trace))
            ->setOnFailed(self::followers($request->onFailed, $codec, $trace));
    }

    /**
     * @param list<JobRequest|string> $jobs
     * @param array<string, string> $trace
     * @return list<JobSpec>
     */
    private static function followers(array $jobs, Codec $codec, array $trace): array
    {
        $specs = [];
        foreach ($jobs as $job) {
            $request = JobRequest::of($job);
            if ($request->jobId !== null) {
                throw new \ValueError('a job that follows another takes no jobId: the server makes it');
            }
            $specs[] = self::make($request, '', $codec, $trace);
        }
        return $specs;
    }
}
