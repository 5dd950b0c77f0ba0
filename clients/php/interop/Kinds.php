<?php

declare(strict_types=1);

namespace ProtoJobs\Interop;

use ProtoJobs\JobRequest;
use ProtoJobs\Payload\Payload;
use ProtoJobs\Worker\Cancel;
use ProtoJobs\Worker\Complete;
use ProtoJobs\Worker\Discard;
use ProtoJobs\Worker\JobContext;
use ProtoJobs\Worker\JobStopped;
use ProtoJobs\Worker\Snooze;

require_once __DIR__ . '/NoLuck.php';

/** The handlers that every language has. */
final class Kinds
{
    /** @return array<string, \Closure> */
    public static function all(): array
    {
        return [
            'echo' => static fn (Payload $payload) => new Payload($payload->data),
            'noop' => static fn () => null,
            'fail' => static fn (Payload $payload, JobContext $job) => throw self::noLuck($job),
            'fail_twice' => static fn (Payload $payload, JobContext $job) => $job->failures() < 2
                ? throw self::noLuck($job)
                : new Payload((string) $job->attempt()),
            'nonretryable' => static fn () => throw new Discard('never again'),
            'snooze_once' => static fn (Payload $payload, JobContext $job) => $job->attempt() === 1 ? throw new Snooze(1.0) : null,
            'sleep' => static fn (array $data) => self::sleep((float) $data['seconds']),
            'stubborn' => static fn (array $data) => self::oversleep((float) $data['seconds']),
            'checkpoint' => static fn (Payload $payload, JobContext $job) => self::checkpoint($job),
            'progress' => static fn (Payload $payload, JobContext $job) => self::progress($job),
            'odd' => static fn () => throw new class ('no ordinary error') extends \Error {
            },
            'big' => static fn () => new Payload(str_repeat('x', 5 * 1024 * 1024)),
            'typed' => static fn (Typed $data) => new Payload((string) ($data->n + 1)),
            'chain' => static fn (Payload $payload, JobContext $job) => new Complete(
                dispatch: [new JobRequest('noop', queue: $job->queue())],
            ),
            'discard' => static fn () => new Discard('discarded'),
            'cancel' => static fn () => new Cancel('cancelled'),
        ];
    }

    private static function noLuck(JobContext $job): \NoLuck
    {
        return new \NoLuck("no luck, attempt {$job->attempt()}: žluť");
    }

    private static function sleep(float $seconds): void
    {
        $end = microtime(true) + $seconds;
        while (($left = $end - microtime(true)) > 0) {
            usleep((int) ceil($left * 1e6));
        }
    }

    private static function oversleep(float $seconds): void
    {
        $end = microtime(true) + $seconds;
        while (($left = $end - microtime(true)) > 0) {
            try {
                usleep((int) ceil($left * 1e6));
            } catch (JobStopped) {
                // Stubborn.
            }
        }
    }

    private static function checkpoint(JobContext $job): Payload
    {
        $checkpoint = $job->checkpoint();
        if ($checkpoint === null) {
            $job->saveCheckpoint('half');
            throw self::noLuck($job);
        }
        return new Payload($checkpoint);
    }

    private static function progress(JobContext $job): void
    {
        foreach ([0.1, 0.5, 1.0] as $ratio) {
            $job->progress($ratio);
        }
    }
}
