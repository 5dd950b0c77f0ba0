<?php

declare(strict_types=1);

namespace ProtoJobs\Interop;

use ProtoJobs\Jitter;
use ProtoJobs\JobRequest;
use ProtoJobs\OnConflict;
use ProtoJobs\Payload\Payload;
use ProtoJobs\RetryPolicy;
use ProtoJobs\Unique;
use ProtoJobs\UniqueScope;
use Protojobs\V1\Jitter as JitterNumber;
use Protojobs\V1\UniqueConflict;
use Protojobs\V1\UniqueScope as ScopeNumber;

/** Reads a JobSpec in proto3 JSON, without the protobuf runtime: that of Debian 12 misreads fractions of seconds. */
final class SpecReader
{
    private const FIELDS = ['id', 'queue', 'kind', 'payload', 'contentType', 'headers', 'priority', 'delay', 'runTime', 'labels',
        'runTimeout', 'retry', 'expireTime', 'unique', 'fairnessKey', 'concurrencyKey', 'resultRetention', 'onComplete',
        'onFailed'];

    /** @param string|null $file "-" is stdin */
    public static function read(?string $file, ?string $queue): JobRequest
    {
        $text = $file === null ? '{"kind":"echo"}' : @file_get_contents($file === '-' ? 'php://stdin' : $file);
        if ($text === false) {
            throw new \InvalidArgumentException("$file cannot be read");
        }
        $spec = json_decode($text, true);
        if (!is_array($spec)) {
            throw new \InvalidArgumentException("$file holds no JSON object");
        }
        return self::request($spec, $queue);
    }

    /** @param array<string, mixed> $spec */
    private static function request(array $spec, ?string $queue): JobRequest
    {
        $found = [];
        foreach ($spec as $name => $value) {
            $camel = lcfirst(str_replace('_', '', ucwords($name, '_')));
            $found[$camel] = in_array($camel, self::FIELDS, true) ? $value : throw new \InvalidArgumentException("no field $name");
        }
        $one = static fn (array $each): JobRequest => self::request($each, null);
        return new JobRequest(
            $found['kind'] ?? '',
            new Payload((string) base64_decode(strtr($found['payload'] ?? '', '-_', '+/')), $found['contentType'] ?? Payload::JSON),
            queue: $queue ?? $found['queue'] ?? null,
            delay: self::seconds($found['delay'] ?? null),
            runAt: self::time($found['runTime'] ?? null),
            priority: $found['priority'] ?? null,
            jobId: $found['id'] ?? null,
            headers: $found['headers'] ?? [],
            labels: $found['labels'] ?? [],
            retry: self::retry($found['retry'] ?? null),
            runTimeout: self::seconds($found['runTimeout'] ?? null),
            expireAt: self::time($found['expireTime'] ?? null),
            unique: self::unique($found['unique'] ?? null),
            fairnessKey: $found['fairnessKey'] ?? null,
            concurrencyKey: $found['concurrencyKey'] ?? null,
            resultRetention: self::seconds($found['resultRetention'] ?? null),
            onComplete: array_map($one, $found['onComplete'] ?? []),
            onFailed: array_map($one, $found['onFailed'] ?? []),
        );
    }

    private static function seconds(?string $span): ?float
    {
        return $span === null ? null : (float) rtrim($span, 's');
    }

    private static function time(?string $at): ?\DateTimeImmutable
    {
        return $at === null ? null : new \DateTimeImmutable($at);
    }

    /** @param array<string, mixed>|null $retry */
    private static function retry(?array $retry): ?RetryPolicy
    {
        return $retry === null ? null : new RetryPolicy(
            $retry['maxRetries'] ?? null,
            self::seconds($retry['initialBackoff'] ?? null),
            isset($retry['multiplier']) ? (float) $retry['multiplier'] : null,
            self::seconds($retry['maxBackoff'] ?? null),
            isset($retry['jitter']) ? Jitter::tryFrom(JitterNumber::value($retry['jitter'])) : null,
            self::seconds($retry['maxRetryDuration'] ?? null),
        );
    }

    /** @param array<string, mixed>|null $unique */
    private static function unique(?array $unique): ?Unique
    {
        return $unique === null ? null : new Unique(
            $unique['key'] ?? '',
            UniqueScope::from(ScopeNumber::value($unique['scope'] ?? 'UNIQUE_SCOPE_UNSPECIFIED')),
            self::seconds($unique['window'] ?? null),
            OnConflict::tryFrom(UniqueConflict::value($unique['onConflict'] ?? 'UNIQUE_CONFLICT_REJECT')) ?? OnConflict::Reject,
        );
    }
}
