<?php

declare(strict_types=1);

namespace ProtoJobs\Tests;

use Google\Protobuf\Any;
use Google\Protobuf\Duration;
use Google\Protobuf\Internal\Message;
use Google\Rpc\BadRequest;
use Google\Rpc\BadRequest\FieldViolation;
use Google\Rpc\ErrorInfo;
use Google\Rpc\RetryInfo;
use Google\Rpc\Status;
use PHPUnit\Framework\TestCase;
use ProtoJobs\Exception\FailedPreconditionException;
use ProtoJobs\Exception\InvalidArgumentException;
use ProtoJobs\Exception\JobFinalException;
use ProtoJobs\Exception\ProtoJobsException;
use ProtoJobs\Statuses;
use ProtoJobs\Transport\StatusCode;

final class StatusesTest extends TestCase
{
    public function testReasonFieldsAndDelayAreReadFromTheDetails(): void
    {
        $status = (new Status())->setCode(3)->setMessage('spec.kind: is required')->setDetails([
            self::packed('google.rpc.ErrorInfo', (new ErrorInfo())
                ->setReason('INVALID_FIELD')->setDomain('protojobs.dev')->setMetadata(['a' => 'b'])),
            self::packed('google.rpc.BadRequest', (new BadRequest())->setFieldViolations([
                (new FieldViolation())->setField('spec.kind')->setDescription('is required'),
            ])),
            self::packed('google.rpc.RetryInfo', (new RetryInfo())->setRetryDelay((new Duration())->setSeconds(2))),
            self::packed('example.Unknown', new ErrorInfo()),
        ]);

        $error = Statuses::translate(StatusCode::InvalidArgument, '', $status->serializeToString());

        self::assertInstanceOf(InvalidArgumentException::class, $error);
        self::assertSame(['INVALID_FIELD', 2.0, ['a' => 'b']], [$error->reason(), $error->retryAfter(), $error->metadata()]);
        self::assertSame('spec.kind', $error->violations()[0]->field);
        self::assertFalse($error->isRetryable());
    }

    public function testAReasonHasItsOwnClassAndAnUnknownOneThatOfItsCode(): void
    {
        $known = self::status(9, 'JOB_FINAL');
        $unknown = self::status(9, 'OF_A_LATER_VERSION');

        self::assertInstanceOf(JobFinalException::class, $known);
        self::assertSame(FailedPreconditionException::class, $unknown::class);
        self::assertSame('OF_A_LATER_VERSION', $unknown->reason());
    }

    public function testOnlyErrorsThatMayPassAreRetryable(): void
    {
        self::assertTrue(Statuses::of(StatusCode::Unavailable, '')->isRetryable());
        self::assertTrue(Statuses::of(StatusCode::DeadlineExceeded, '')->isRetryable());
        self::assertFalse(Statuses::of(StatusCode::ResourceExhausted, '')->isRetryable());
        self::assertFalse(Statuses::of(StatusCode::Internal, '')->isRetryable());
        self::assertSame('INVALID_ARGUMENT', StatusCode::InvalidArgument->label());
    }

    private static function status(int $code, string $reason): ProtoJobsException
    {
        $info = (new ErrorInfo())->setReason($reason)->setDomain('protojobs.dev');
        return Statuses::fromStatus((new Status())->setCode($code)->setDetails([self::packed('google.rpc.ErrorInfo', $info)]));
    }

    private static function packed(string $type, Message $message): Any
    {
        return (new Any())->setTypeUrl("type.googleapis.com/$type")->setValue($message->serializeToString());
    }
}
