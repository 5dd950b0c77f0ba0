<?php

declare(strict_types=1);

namespace ProtoJobs\Interop;

use ProtoJobs\Exception\FieldViolation;
use ProtoJobs\Exception\ProtoJobsException;
use ProtoJobs\JobInfo;

/** Events as JSON, one a line, flushed. */
final class Lines
{
    /** @param array<string, mixed> $fields */
    public static function write(string $event, array $fields = []): void
    {
        $flags = JSON_THROW_ON_ERROR | JSON_UNESCAPED_UNICODE | JSON_UNESCAPED_SLASHES | JSON_INVALID_UTF8_SUBSTITUTE;
        fwrite(STDOUT, json_encode(['event' => $event, ...$fields], $flags) . "\n");
        fflush(STDOUT);
    }

    public static function error(ProtoJobsException $error): void
    {
        self::write('error', [
            'code' => $error->status()->label(),
            'reason' => $error->reason(),
            'fields' => array_map(static fn (FieldViolation $each): string => $each->field, $error->violations()),
            'message' => $error->getMessage(),
        ]);
    }

    public static function job(string $event, JobInfo $job): void
    {
        $error = $job->lastError;
        self::write($event, [
            'job_id' => $job->id,
            'state' => strtoupper($job->state->value),
            'attempt' => $job->attempt,
            'failures' => $job->failures,
            'crashes' => $job->crashes,
            'payload' => base64_encode((string) $job->payload),
            'result' => base64_encode((string) $job->result),
            ...($error === null ? [] : ['error' => ['type' => $error->type, 'message' => $error->message]]),
        ]);
    }
}
