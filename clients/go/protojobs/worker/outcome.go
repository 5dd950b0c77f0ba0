package worker

import (
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	pb "github.com/proto-jobs/proto-jobs/clients/go/gen/protojobs/v1"
)

const (
	maxTypeBytes     = 256
	maxMessageBytes  = 4 * 1024
	maxStackBytes    = 16 * 1024
	maxProgressBytes = 1024
	longestDelay     = 365 * 24 * time.Hour
)

// Why a handler's context is cancelled, by context.Cause.
var (
	ErrJobCancelled = errors.New("worker: the job was cancelled")
	ErrTimeout      = errors.New("worker: the run timeout has passed")
	ErrLeaseLost    = errors.New("worker: the lease is lost, and others may be running the job")
	ErrShutdown     = errors.New("worker: the worker is shutting down")
)

// verdict is a handler's own decision about its job.
type verdict struct {
	kind   verdictKind
	delay  *time.Duration
	reason string
	cause  error
}

type verdictKind int

const (
	verdictRetry verdictKind = iota
	verdictSnooze
	verdictCancel
	verdictDiscard
	verdictNonRetryable
)

func (v *verdict) Error() string { return v.reason }
func (v *verdict) Unwrap() error { return v.cause }

// Retry fails this attempt and runs the job again after this wait, 0 s to 365 days, instead of the policy's backoff. It
// says why; a nil cause is allowed.
func Retry(after time.Duration, cause error) error {
	return &verdict{kind: verdictRetry, delay: &after, reason: textOr(cause, "retry requested"), cause: cause}
}

// NonRetryable fails the job for good, whatever retries are left, as the cause says.
func NonRetryable(cause error) error {
	return &verdict{kind: verdictNonRetryable, reason: textOr(cause, "not retryable"), cause: cause}
}

// Snooze runs the job again later, after 0 s to 365 days; this attempt counts neither as a failure nor as a crash.
func Snooze(delay time.Duration) error {
	return &verdict{kind: verdictSnooze, delay: &delay, reason: "snoozed"}
}

// Cancel ends the job as CANCELLED. The reason is for the worker's log.
func Cancel(reason string) error {
	return &verdict{kind: verdictCancel, reason: reason}
}

// Discard ends the job as FAILED at once, whatever retries are left. The reason becomes the error's message.
func Discard(reason string) error {
	return &verdict{kind: verdictDiscard, reason: reason}
}

func textOr(cause error, text string) string {
	if cause == nil {
		return text
	}
	return textOf(cause)
}

// Outcome is how an attempt ended, as Events tell it.
type Outcome string

// Outcomes of attempts.
const (
	OutcomeComplete  Outcome = "complete"
	OutcomeFail      Outcome = "fail"
	OutcomeSnooze    Outcome = "snooze"
	OutcomeCancel    Outcome = "cancel"    // the handler asked for it
	OutcomeDiscard   Outcome = "discard"   // the handler asked for it
	OutcomeCancelled Outcome = "cancelled" // somebody cancelled the job, and the handler stopped
	OutcomeReleased  Outcome = "released"  // given back unfinished
	OutcomeLost      Outcome = "lost"      // the lease was lost while the handler ran: what it says does not count
	OutcomeAbandoned Outcome = "abandoned" // the worker did not wait for the handler; its job has got an outcome without it
)

// outcome is what the worker tells the server of an attempt: one branch of SettleItem.outcome.
type outcome struct {
	kind       Outcome
	result     []byte
	children   []*pb.JobSpec
	failure    *pb.JobError
	retryable  bool
	retryAfter *time.Duration
	checkpoint []byte // nil: what is stored stays
	delay      time.Duration
	release    pb.ReleaseReason
	cause      error // what went wrong, for hooks in this process
}

// completed is the outcome of most jobs: one value for all, known by its address on the hot path.
var completed = &outcome{kind: OutcomeComplete}

func released(reason pb.ReleaseReason) *outcome {
	return &outcome{kind: OutcomeReleased, release: reason}
}

func failed(err error, retryable bool) *outcome {
	return &outcome{kind: OutcomeFail, failure: describe(err), retryable: retryable, cause: err}
}

func timedOut(after time.Duration) *outcome {
	message := fmt.Sprintf("run timeout of %g s passed", after.Seconds())
	return &outcome{kind: OutcomeFail, failure: newFailure("TIMEOUT", message, ""), retryable: true, cause: ErrTimeout}
}

// Typed is an error that says what its type is, instead of the name of its Go type.
type Typed interface {
	error
	ErrorType() string
}

// describe tells an error: the type of what it wraps, its text, and its stack where it formats one by %+v.
func describe(err error) *pb.JobError {
	message := textOf(err)
	stack := fmt.Sprintf("%+v", err)
	if stack == message {
		stack = ""
	}
	return newFailure(typeOf(err), message, stack)
}

// textOf returns an error's text: a broken Error method must not hide the failure itself.
func textOf(err error) (text string) {
	defer func() {
		if recover() != nil {
			text = "(the error cannot be shown)"
		}
	}()
	return err.Error()
}

func typeOf(err error) string {
	var typed Typed
	if errors.As(err, &typed) {
		return typed.ErrorType()
	}
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return strings.TrimPrefix(fmt.Sprintf("%T", err), "*")
		}
		err = inner
	}
}

func newFailure(kind, message, stack string) *pb.JobError {
	return &pb.JobError{
		Type: cut(kind, maxTypeBytes), Message: cut(message, maxMessageBytes), Stack: cut(stack, maxStackBytes),
	}
}

// cut keeps the first bytes of a text, never a part of a character.
func cut(text string, limit int) string {
	text = strings.ToValidUTF8(text, "?")
	if len(text) <= limit {
		return text
	}
	for limit > 0 && !utf8.RuneStart(text[limit]) {
		limit--
	}
	return text[:limit]
}
