<?php

declare(strict_types=1);

namespace ProtoJobs\Worker;

use ProtoJobs\Job;
use ProtoJobs\Payload\Payload;

/**
 * A registered handler: how to call it, and how to ask it about failures.
 *
 * @internal
 */
final class Handler
{
    /**
     * @param \Closure(JobContext): mixed $invoke
     * @param \Closure(JobContext, \Throwable): bool $shouldRetry
     * @param (\Closure(JobContext, \Throwable): void)|null $failed
     * @param float|null $timeout seconds; may shorten the job's run timeout
     */
    private function __construct(
        public readonly string $kind,
        public readonly \Closure $invoke,
        public readonly \Closure $shouldRetry,
        public readonly ?\Closure $failed,
        public readonly ?float $timeout,
    ) {
    }

    /** @param class-string<Job> $class */
    public static function ofClass(string $class, string $kind): self
    {
        $hasFailed = (new \ReflectionMethod($class, 'failed'))->getDeclaringClass()->getName() !== Job::class;
        return new self(
            $kind,
            static fn (JobContext $context): mixed => $class::ofRun($context)->handle($context->data()),
            static fn (JobContext $context, \Throwable $error): bool
                => $class::ofRun($context)->shouldRetry($context->failures() + 1, $error),
            $hasFailed
                ? static fn (JobContext $context, \Throwable $error)
                    => $class::ofRun($context)->failed($error, $context->dataOrNull())
                : null,
            null,
        );
    }

    /**
     * @param callable(mixed, JobContext): mixed $handler
     * @param class-string|callable(mixed): mixed|null $payload what makes the handler's argument of the data
     * @param (callable(\Throwable, JobContext): bool)|null $shouldRetry
     * @param (callable(JobContext, \Throwable): void)|null $failed
     */
    public static function ofCallable(
        string $kind,
        callable $handler,
        ?float $timeout,
        string|callable|null $payload,
        ?callable $shouldRetry,
        ?callable $failed,
    ): self {
        $handler = $handler(...);
        $build = self::builder($handler, $payload);
        return new self(
            $kind,
            static fn (JobContext $context): mixed => $handler(self::argument($build, $context), $context),
            static fn (JobContext $context, \Throwable $error): bool => $shouldRetry === null || $shouldRetry($error, $context),
            $failed === null ? null : $failed(...),
            $timeout,
        );
    }

    /** @param \Closure(JobContext): mixed $build */
    private static function argument(\Closure $build, JobContext $context): mixed
    {
        try {
            return $build($context);
        } catch (JobStopped | InvalidPayload $error) {
            throw $error;
        } catch (\Throwable $error) {
            throw new InvalidPayload(self::why($error));
        }
    }

    /** Says what does not fit, and shows nothing of it: PHP's words about types hold no values, those of others may. */
    private static function why(\Throwable $error): string
    {
        if (!$error instanceof \TypeError && $error::class !== \Error::class) {
            return $error::class;
        }
        // They end with the place of the call, which is ours.
        return $error::class . ': ' . preg_replace('/, called in .*$/s', '', $error->getMessage());
    }

    /**
     * Finds what makes the handler's argument: what was said, else the type of its first parameter where that is a class.
     * One that takes a Payload, or nothing, gets by without decoding.
     *
     * @return \Closure(JobContext): mixed
     */
    private static function builder(\Closure $handler, string|callable|null $payload): \Closure
    {
        $parameter = (new \ReflectionFunction($handler))->getParameters()[0] ?? null;
        $type = $parameter?->getType();
        if ($payload === null && $type instanceof \ReflectionNamedType && !$type->isBuiltin()) {
            $payload = $type->getName();
        }
        return match (true) {
            $payload === Payload::class => static fn (JobContext $context): Payload => $context->payload(),
            is_string($payload) && class_exists($payload)
                => static fn (JobContext $context): object => new $payload(...(array) $context->data()),
            is_callable($payload) => static fn (JobContext $context): mixed => $payload($context->data()),
            $payload !== null => throw new \ValueError('payload is a class or a callable'),
            $parameter === null => static fn (JobContext $context): mixed => null,
            $type instanceof \ReflectionNamedType
                => static fn (JobContext $context): mixed => self::checked($type, $context->data()),
            default => static fn (JobContext $context): mixed => $context->data(),
        };
    }

    /** Lets pass what the declared type takes: a payload that does not fit is no failure of the handler. */
    private static function checked(\ReflectionNamedType $type, mixed $data): mixed
    {
        $name = $type->getName();
        $fits = !in_array($name, ['array', 'string', 'int', 'float', 'bool'], true)
            || get_debug_type($data) === $name
            || ($data === null && $type->allowsNull())
            || ($name === 'float' && is_int($data));
        return $fits ? $data : throw new \TypeError("the handler takes $name, not " . get_debug_type($data));
    }
}
