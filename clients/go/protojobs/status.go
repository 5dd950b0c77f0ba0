package protojobs

import (
	"context"
	"errors"
	"strings"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	rpcstatus "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// TranslateError returns the *Error that a server meant by the error of a gRPC call. Errors that are none of gRPC, and
// nil, pass. For callers of Dial.
func TranslateError(err error) error {
	if err == nil {
		return nil
	}
	var known *Error
	if errors.As(err, &known) {
		return err
	}
	found, ok := status.FromError(err)
	if !ok {
		return err
	}
	return translate(found)
}

func translate(found *status.Status) *Error {
	proto := found.Proto()
	if len(proto.GetDetails()) == 0 && isLostConnection(found) {
		return &Error{Code: codes.Unavailable, Message: explain(found.Message())}
	}
	told := fromStatus(proto)
	told.Message = explain(told.Message)
	return told
}

// fromStatus returns the error of an item of a batch or stream.
func fromStatus(proto *rpcstatus.Status) *Error {
	told := &Error{Code: codes.Code(proto.GetCode()), Message: proto.GetMessage()}
	for _, detail := range proto.GetDetails() {
		message, err := detail.UnmarshalNew()
		if err != nil {
			continue
		}
		switch message := message.(type) {
		case *errdetails.ErrorInfo:
			told.Reason, told.Metadata = message.GetReason(), message.GetMetadata()
		case *errdetails.BadRequest:
			for _, violation := range message.GetFieldViolations() {
				told.Violations = append(told.Violations, FieldViolation{violation.GetField(), violation.GetDescription()})
			}
		case *errdetails.RetryInfo:
			told.RetryAfter = message.GetRetryDelay().AsDuration()
		}
	}
	if told.Message == "" {
		told.Message = told.Code.String()
	}
	return told
}

// isLostConnection recognises what gRPC says without details from our server, which never answers these codes so barely.
func isLostConnection(found *status.Status) bool {
	switch found.Code() {
	case codes.Canceled:
		return true
	case codes.Internal:
		return strings.Contains(found.Message(), "RST_STREAM") || strings.Contains(found.Message(), "unexpected EOF")
	default:
		return false
	}
}

// explain puts what it means before what gRPC says of a handshake.
func explain(message string) string {
	for _, each := range handshakes {
		if strings.Contains(message, each.words) {
			return each.meaning + ": " + message
		}
	}
	return message
}

var handshakes = []struct{ words, meaning string }{
	{"certificate has expired", "the TLS handshake failed: a certificate of the server has expired"},
	{"certificate is valid for", "the TLS handshake failed: the server's certificate is for another name"},
	{"certificate signed by unknown authority", "the TLS handshake failed: the server's certificate is not to be trusted"},
	{"first record does not look like a TLS handshake", "the TLS handshake failed: the server does not speak TLS"},
	{"remote error: tls", "the TLS handshake failed: the server refuses this client's certificate"},
}

// ended returns the error of a call whose caller does not wait any longer; nil while it does.
func ended(ctx context.Context) *Error {
	err := ctx.Err()
	if err == nil {
		return nil
	}
	code := codes.Canceled
	if errors.Is(err, context.DeadlineExceeded) {
		code = codes.DeadlineExceeded
	}
	return &Error{Code: code, Message: "the caller stopped waiting; the outcome is unknown", cause: context.Cause(ctx)}
}
