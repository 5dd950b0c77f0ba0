package protojobs

import (
	"fmt"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// FieldViolation is a field of the request by its path, and what is wrong with it.
type FieldViolation struct {
	Field       string
	Description string
}

// Error is what the server, or the way to it, says of a call that did not succeed.
//
// Reason is stable and listed in the contract's errors.proto; it is empty where no server of ours answered. The message is
// for people.
type Error struct {
	Code       codes.Code
	Reason     string
	Message    string
	Metadata   map[string]string
	Violations []FieldViolation
	RetryAfter time.Duration // when another try may succeed; 0 where the server did not say

	cause error
}

// Error describes it, with its reason and the fields.
func (e *Error) Error() string {
	var text strings.Builder
	text.WriteString("protojobs: ")
	text.WriteString(e.Message)
	if e.Reason != "" {
		fmt.Fprintf(&text, " (%s)", e.Reason)
	} else {
		fmt.Fprintf(&text, " (%s)", e.Code)
	}
	for i, violation := range e.Violations {
		separator := ", "
		if i == 0 {
			separator = ": "
		}
		fmt.Fprintf(&text, "%s%s: %s", separator, violation.Field, violation.Description)
	}
	return text.String()
}

// Unwrap returns the error of this process behind it, for example context.Canceled; nil where there is none.
func (e *Error) Unwrap() error { return e.cause }

// Is tells whether the target is the Err variable of its reason or of its code.
func (e *Error) Is(target error) bool {
	kind, ok := target.(*errorKind)
	if !ok {
		return false
	}
	if kind.reason != "" {
		return kind.reason == e.Reason
	}
	return kind.code == e.Code
}

// GRPCStatus returns it as gRPC has it.
func (e *Error) GRPCStatus() *status.Status { return status.New(e.Code, e.Message) }

// Retryable tells whether the same call with the same ids may succeed later, and does no harm if it was heard before.
func (e *Error) Retryable() bool {
	switch e.Code {
	case codes.Unavailable, codes.DeadlineExceeded:
		return true
	case codes.ResourceExhausted:
		return e.RetryAfter > 0
	default:
		return false
	}
}

// ServerTime is the server's time when it refused an id as ErrJobIDTime; zero where it did not say.
func (e *Error) ServerTime() time.Time {
	at, err := time.Parse(time.RFC3339, e.Metadata["server_time"])
	if err != nil {
		return time.Time{}
	}
	return at
}

// JobID is the job that has the unique key of an ErrDuplicateJob.
func (e *Error) JobID() string { return e.Metadata["job_id"] }

// errorKind is what Error.Is compares with: a reason of the contract, or a code.
type errorKind struct {
	code   codes.Code
	reason string
	text   string
}

func (k *errorKind) Error() string { return "protojobs: " + k.text }

func byCode(code codes.Code, text string) error { return &errorKind{code: code, text: text} }

func byReason(reason, text string) error { return &errorKind{reason: reason, text: text} }

// Kinds of errors, by code: compare with errors.Is.
var (
	ErrInvalidArgument    = byCode(codes.InvalidArgument, "a field is malformed or out of bounds; nothing is stored")
	ErrNotFound           = byCode(codes.NotFound, "what the request names does not exist")
	ErrAlreadyExists      = byCode(codes.AlreadyExists, "what the request wants to make exists; nothing is stored")
	ErrFailedPrecondition = byCode(codes.FailedPrecondition, "the state does not allow it")
	ErrResourceExhausted  = byCode(codes.ResourceExhausted, "a bound is reached")
	ErrUnavailable        = byCode(codes.Unavailable, "no server answers at the moment")
	ErrDeadlineExceeded   = byCode(codes.DeadlineExceeded, "the deadline passed; the outcome is unknown")
	ErrAborted            = byCode(codes.Aborted, "the operation as a whole was given up; nothing is stored")
	ErrOutOfRange         = byCode(codes.OutOfRange, "a position lies outside of what exists")
	ErrUnsupported        = byCode(codes.Unimplemented, "the server or its driver lacks this")
	ErrUnauthenticated    = byCode(codes.Unauthenticated, "no valid credentials")
	ErrPermissionDenied   = byCode(codes.PermissionDenied, "the credentials do not cover this")
	ErrInternal           = byCode(codes.Internal, "something unexpected happened in the server; metadata error_id is in its log")
)

// Kinds of errors, by reason: compare with errors.Is.
var (
	ErrJobIDTime         = byReason("JOB_ID_TIME", "the time part of a job id is too far from the server's time")
	ErrPayloadTooLarge   = byReason("PAYLOAD_TOO_LARGE", "the payload is over the limit; metadata limit and size")
	ErrJobNotFound       = byReason("JOB_NOT_FOUND", "no such job, or it was deleted")
	ErrQueueNotFound     = byReason("QUEUE_NOT_FOUND", "no such queue")
	ErrScheduleNotFound  = byReason("SCHEDULE_NOT_FOUND", "no such schedule")
	ErrSessionNotFound   = byReason("SESSION_NOT_FOUND", "no such worker session")
	ErrJobIDReused       = byReason("JOB_ID_REUSED", "the id was used for another body")
	ErrDuplicateJob      = byReason("DUPLICATE_JOB", "the unique key is taken")
	ErrJobFinal          = byReason("JOB_FINAL", "the job is final")
	ErrJobNotFinal       = byReason("JOB_NOT_FINAL", "the job is not final")
	ErrJobRunning        = byReason("JOB_RUNNING", "the job is running")
	ErrLeaseSuperseded   = byReason("LEASE_SUPERSEDED", "the attempt is not leased by this session any more")
	ErrSessionSuperseded = byReason("SESSION_SUPERSEDED", "a newer stream of the session exists")
	ErrSessionClosed     = byReason("SESSION_CLOSED", "the session has expired or was closed")
	ErrProtocolViolation = byReason("PROTOCOL_VIOLATION", "a frame came that the protocol does not allow here")
	ErrQueueNotEmpty     = byReason("QUEUE_NOT_EMPTY", "the queue has jobs; use force")
	ErrQueueFull         = byReason("QUEUE_FULL", "the queue is full")
	ErrOverloaded        = byReason("OVERLOADED", "too much at once")
	ErrQuotaExceeded     = byReason("QUOTA_EXCEEDED", "a quota or a cap is reached")
	ErrStoreUnavailable  = byReason("STORE_UNAVAILABLE", "the server's store does not answer")
	ErrDraining          = byReason("DRAINING", "the server is shutting down")
	ErrConflict          = byReason("CONFLICT", "the change is based on an older state; read again")
	ErrCursorExpired     = byReason("CURSOR_EXPIRED", "the event cursor is older than what is kept")
	ErrBatchAborted      = byReason("BATCH_ABORTED", "another item of an atomic batch was refused")
)
