<?php

declare(strict_types=1);

namespace ProtoJobs;

use Google\Rpc\BadRequest;
use Google\Rpc\ErrorInfo;
use Google\Rpc\RetryInfo;
use Google\Rpc\Status;
use ProtoJobs\Exception as E;
use ProtoJobs\Exception\ProtoJobsException;
use ProtoJobs\Transport\StatusCode;

/** From what gRPC and the server say to the exceptions of the client. */
final class Statuses
{
    private const DOMAIN = 'protojobs.dev';

    private const BY_REASON = [
        'INVALID_FIELD' => E\InvalidArgumentException::class,
        'MALFORMED_MESSAGE' => E\MalformedMessageException::class,
        'JOB_ID_TIME' => E\JobIdTimeException::class,
        'PAYLOAD_TOO_LARGE' => E\PayloadTooLargeException::class,
        'JOB_NOT_FOUND' => E\JobNotFoundException::class,
        'QUEUE_NOT_FOUND' => E\QueueNotFoundException::class,
        'SESSION_NOT_FOUND' => E\SessionNotFoundException::class,
        'SCHEDULE_NOT_FOUND' => E\ScheduleNotFoundException::class,
        'JOB_ID_REUSED' => E\JobIdReusedException::class,
        'DUPLICATE_JOB' => E\DuplicateJobException::class,
        'LEASE_SUPERSEDED' => E\LeaseSupersededException::class,
        'LEASE_EXPIRED' => E\LeaseExpiredException::class,
        'JOB_FINAL' => E\JobFinalException::class,
        'JOB_NOT_FINAL' => E\JobNotFinalException::class,
        'JOB_RUNNING' => E\JobRunningException::class,
        'SESSION_SUPERSEDED' => E\SessionSupersededException::class,
        'SESSION_CLOSED' => E\SessionClosedException::class,
        'PROTOCOL_VIOLATION' => E\ProtocolViolationException::class,
        'DRIVER_UNSUPPORTED' => E\DriverUnsupportedException::class,
        'QUEUE_NOT_EMPTY' => E\QueueNotEmptyException::class,
        'QUEUE_FULL' => E\QueueFullException::class,
        'OVERLOADED' => E\OverloadedException::class,
        'QUOTA_EXCEEDED' => E\QuotaExceededException::class,
        'STORE_UNAVAILABLE' => E\StoreUnavailableException::class,
        'ISSUER_UNAVAILABLE' => E\IssuerUnavailableException::class,
        'DRAINING' => E\DrainingException::class,
        'DEADLINE' => E\DeadlineExceededException::class,
        'INTERNAL' => E\InternalException::class,
        'CONFLICT' => E\ConflictException::class,
        'CURSOR_EXPIRED' => E\CursorExpiredException::class,
        'UNAUTHENTICATED' => E\UnauthenticatedException::class,
        'PERMISSION_DENIED' => E\PermissionDeniedException::class,
        'BATCH_ABORTED' => E\BatchAbortedException::class,
    ];

    /** Returns the exception of a call that ended with $code; $details are the bytes of `grpc-status-details-bin`. */
    public static function translate(StatusCode $code, string $message, string $details = ''): ProtoJobsException
    {
        if ($details !== '') {
            $status = new Status();
            try {
                $status->mergeFromString($details);
                return self::fromStatus($status);
            } catch (\Exception) {
                // A proxy's own idea of the header: what is left still tells the code.
            }
        }
        // Our server never answers this code so barely: it is the way of a proxy or a dying server to say that it goes.
        return $code === StatusCode::Cancelled
            ? self::of(StatusCode::Unavailable, $message ?: 'the connection was lost')
            : self::of($code, $message);
    }

    /** Returns the exception of an item of a batch, or of a whole call. */
    public static function fromStatus(Status $status): ProtoJobsException
    {
        $code = StatusCode::tryFrom($status->getCode()) ?? StatusCode::Unknown;
        $info = new ErrorInfo();
        $violations = [];
        $retryAfter = null;
        foreach ($status->getDetails() as $any) {
            match (substr(strrchr('/' . $any->getTypeUrl(), '/') ?: '', 1)) {
                'google.rpc.ErrorInfo' => $info->mergeFromString($any->getValue()),
                'google.rpc.BadRequest' => $violations = self::violations($any->getValue()),
                'google.rpc.RetryInfo' => $retryAfter = self::retryAfter($any->getValue()),
                default => null,
            };
        }
        $reason = $info->getReason();
        $class = $info->getDomain() === self::DOMAIN ? self::BY_REASON[$reason] ?? null : null;
        $class ??= self::byCode($code);
        $message = $status->getMessage() ?: $reason ?: $code->label();
        return new $class($message, $code, $reason, iterator_to_array($info->getMetadata()), $retryAfter, $violations);
    }

    /** Returns the exception of a code without details. */
    public static function of(StatusCode $code, string $message): ProtoJobsException
    {
        $class = self::byCode($code);
        return new $class($message ?: $code->label(), $code);
    }

    /** @return list<E\FieldViolation> */
    private static function violations(string $bytes): array
    {
        $request = new BadRequest();
        $request->mergeFromString($bytes);
        $found = [];
        foreach ($request->getFieldViolations() as $each) {
            $found[] = new E\FieldViolation($each->getField(), $each->getDescription());
        }
        return $found;
    }

    private static function retryAfter(string $bytes): float
    {
        $info = new RetryInfo();
        $info->mergeFromString($bytes);
        return Times::seconds($info->getRetryDelay()) ?? 0.0;
    }

    /** @return class-string<ProtoJobsException> */
    private static function byCode(StatusCode $code): string
    {
        return match ($code) {
            StatusCode::InvalidArgument => E\InvalidArgumentException::class,
            StatusCode::NotFound => E\NotFoundException::class,
            StatusCode::AlreadyExists => E\AlreadyExistsException::class,
            StatusCode::FailedPrecondition => E\FailedPreconditionException::class,
            StatusCode::ResourceExhausted => E\ResourceExhaustedException::class,
            StatusCode::Unavailable => E\UnavailableException::class,
            StatusCode::DeadlineExceeded => E\DeadlineExceededException::class,
            StatusCode::Aborted => E\AbortedException::class,
            StatusCode::OutOfRange => E\OutOfRangeException::class,
            StatusCode::Unimplemented => E\UnsupportedException::class,
            StatusCode::Unauthenticated => E\UnauthenticatedException::class,
            StatusCode::PermissionDenied => E\PermissionDeniedException::class,
            StatusCode::Internal => E\InternalException::class,
            default => ProtoJobsException::class,
        };
    }
}
