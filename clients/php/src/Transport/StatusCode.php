<?php

declare(strict_types=1);

namespace ProtoJobs\Transport;

/** The codes of gRPC. */
enum StatusCode: int
{
    case Ok = 0;
    case Cancelled = 1;
    case Unknown = 2;
    case InvalidArgument = 3;
    case DeadlineExceeded = 4;
    case NotFound = 5;
    case AlreadyExists = 6;
    case PermissionDenied = 7;
    case ResourceExhausted = 8;
    case FailedPrecondition = 9;
    case Aborted = 10;
    case OutOfRange = 11;
    case Unimplemented = 12;
    case Internal = 13;
    case Unavailable = 14;
    case DataLoss = 15;
    case Unauthenticated = 16;

    /** The name on the wire, for example INVALID_ARGUMENT. */
    public function label(): string
    {
        return strtoupper((string) preg_replace('/(?<!^)[A-Z]/', '_$0', $this->name));
    }
}
