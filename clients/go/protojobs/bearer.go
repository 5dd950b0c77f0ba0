package protojobs

import (
	"context"
	"os"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc/codes"
)

// bearer sends a token with every call: one by value, or that of a file which may change (a projected Kubernetes secret).
type bearer struct {
	file string

	mu        sync.Mutex
	value     string
	changedAt time.Time
}

// newBearer returns nil where there is no token to send.
func newBearer(token, file string) (*bearer, error) {
	if token == "" && file == "" {
		return nil, nil
	}
	b := &bearer{file: file, value: token}
	// Credentials that fail later look like a server that is away, and would be tried again for ever.
	_, err := b.token()
	return b, err
}

// token returns the current token. While a file is being replaced it may be empty or gone: the last token stays.
func (b *bearer) token() (string, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.file == "" {
		return b.value, nil
	}
	err := b.read()
	if b.value != "" {
		return b.value, nil
	}
	if err != nil {
		return "", &Error{Code: codes.Unauthenticated, Message: "the token file cannot be read: " + err.Error(), cause: err}
	}
	return "", &Error{Code: codes.Unauthenticated, Message: "the token file is empty: " + b.file}
}

func (b *bearer) read() error {
	info, err := os.Stat(b.file)
	if err != nil {
		return err
	}
	if info.ModTime().Equal(b.changedAt) {
		return nil
	}
	data, err := os.ReadFile(b.file)
	if err != nil {
		return err
	}
	if value := strings.TrimSpace(string(data)); value != "" {
		b.value, b.changedAt = value, info.ModTime()
	}
	return nil
}

// GetRequestMetadata returns the authorization of a call.
func (b *bearer) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	token, err := b.token()
	if err != nil {
		return nil, err
	}
	return map[string]string{"authorization": "Bearer " + token}, nil
}

// RequireTransportSecurity is false: Options decide where plain connections are allowed.
func (b *bearer) RequireTransportSecurity() bool { return false }
