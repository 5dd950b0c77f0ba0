<?php

declare(strict_types=1);

namespace ProtoJobs;

use Google\Protobuf\Internal\Message;
use ProtoJobs\Exception\DeadlineExceededException;
use ProtoJobs\Exception\ProtoJobsException;
use ProtoJobs\Transport\Call;
use ProtoJobs\Transport\StatusCode;
use ProtoJobs\Transport\Transport;
use Psr\Log\LoggerInterface;
use Psr\Log\NullLogger;

/**
 * The one way to make a call: with a deadline, retries and translated errors.
 *
 * @internal
 */
final class Connection
{
    private const SHORTEST_TRY = 0.05;

    public function __construct(
        public readonly Options $options,
        public readonly Transport $transport,
        private readonly LoggerInterface $logger = new NullLogger(),
    ) {
    }

    /**
     * Makes an idempotent call; repeats it while its error is retryable, until `callTimeout` is over.
     *
     * @template T of Message
     * @param string $method "Service/Method" of protojobs.v1
     * @param class-string<T> $answer
     * @param float|null $deadline of one try, `readDeadline` by default
     * @return T
     * @throws ProtoJobsException
     */
    public function call(string $method, Message $request, string $answer, ?float $deadline = null): Message
    {
        $bytes = $this->serialized($request);
        $oneTry = $deadline ?? $this->options->readDeadline;
        $end = Times::monotonic() + max($this->options->callTimeout, $oneTry);
        $backoff = new Backoff();
        $told = null;
        while (true) {
            $timeout = max(self::SHORTEST_TRY, min($oneTry, $end - Times::monotonic()));
            try {
                return self::read($this->transport->unary(new Call("/protojobs.v1.$method", $bytes, $timeout)), $answer);
            } catch (ProtoJobsException $error) {
                // The last tries are cut short: why the earlier ones failed tells more.
                $told = $told !== null && $error instanceof DeadlineExceededException ? $told : $error;
                $wait = $backoff->after($error);
                if ($wait === null || Times::monotonic() + $wait >= $end) {
                    throw $told;
                }
                $this->logger->debug('trying again', ['method' => $method, 'reason' => $error->reason(), 'in_s' => $wait]);
                self::sleep($wait);
            }
        }
    }

    /**
     * Opens a stream of answers; what ends it is the caller's to judge.
     *
     * @template T of Message
     * @param class-string<T> $answer
     * @return \Generator<int, T>
     * @throws ProtoJobsException
     */
    public function stream(string $method, Message $request, string $answer, float $silence): \Generator
    {
        $call = new Call("/protojobs.v1.$method", $this->serialized($request), silence: $silence);
        foreach ($this->transport->serverStream($call) as $bytes) {
            yield self::read($bytes, $answer);
        }
    }

    /** Waits; a signal may come meanwhile and does not shorten it. */
    public static function sleep(float $seconds): void
    {
        $end = Times::monotonic() + $seconds;
        while (($left = $end - Times::monotonic()) > 0) {
            usleep((int) ceil($left * 1e6));
        }
    }

    private function serialized(Message $request): string
    {
        try {
            $bytes = $request->serializeToString();
        } catch (\Exception $error) {
            throw new ProtoJobsException($error->getMessage(), StatusCode::InvalidArgument, previous: $error);
        }
        $limit = $this->options->maxMessageBytes;
        if (strlen($bytes) > $limit) {
            $sizes = ['limit' => (string) $limit, 'size' => (string) strlen($bytes)];
            $why = 'the request does not fit into a message';
            throw new Exception\PayloadTooLargeException($why, StatusCode::FailedPrecondition, 'PAYLOAD_TOO_LARGE', $sizes);
        }
        return $bytes;
    }

    /**
     * @template T of Message
     * @param class-string<T> $class
     * @return T
     */
    private static function read(string $bytes, string $class): Message
    {
        $message = new $class();
        try {
            $message->mergeFromString($bytes);
        } catch (\Exception) {
            throw Statuses::of(StatusCode::Internal, 'the answer is no ' . $class);
        }
        return $message;
    }
}
