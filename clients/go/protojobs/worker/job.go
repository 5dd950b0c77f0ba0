package worker

import (
	"errors"
	"fmt"
	"sync"
	"time"

	pb "github.com/proto-jobs/proto-jobs/clients/go/gen/protojobs/v1"
	"github.com/proto-jobs/proto-jobs/clients/go/protojobs"
	"google.golang.org/protobuf/proto"
)

const (
	maxChildren = 1000
	// One completion travels in one frame, of which a server takes 4 MiB unless it is set up otherwise.
	maxChildrenBytes = 2 * 1024 * 1024
)

// Job is a running attempt, as its handler sees it. It is safe for concurrent use.
type Job struct {
	leased  *pb.LeasedJob
	handler *handler
	tell    func(progress *pb.Progress, checkpoint []byte)

	mu           sync.Mutex
	opened       bool
	payload      protojobs.Payload
	openError    error
	result       []byte
	hasResult    bool
	children     []*pb.JobSpec
	childrenSize int
}

// ID is the job's id, a UUIDv7; the same over all attempts.
func (j *Job) ID() string { return j.leased.GetJobId() }

// Attempt is the fencing number of this run: it grows at every lease, also where nothing failed.
func (j *Job) Attempt() int { return int(j.leased.GetAttempt()) }

// Kind says which handler runs it.
func (j *Job) Kind() string { return j.leased.GetSpec().GetKind() }

// Queue is where it came from.
func (j *Job) Queue() string { return j.leased.GetSpec().GetQueue() }

// Failures counts the attempts so far whose handler said failed.
func (j *Job) Failures() int { return int(j.leased.GetFailures()) }

// MaxRetries counts the failures that are retried; one more ends the job as FAILED.
func (j *Job) MaxRetries() int { return int(j.leased.GetMaxRetries()) }

// LastTry tells whether a failure now ends the job as FAILED.
func (j *Job) LastTry() bool { return j.Failures() >= j.MaxRetries() }

// Priority is 1 to 9, higher first.
func (j *Job) Priority() int {
	if priority := j.leased.GetSpec().GetPriority(); priority != 0 {
		return int(priority)
	}
	return 5
}

// Headers are opaque pairs set by the producer. Do not change them.
func (j *Job) Headers() map[string]string { return j.leased.GetSpec().GetHeaders() }

// Labels are indexed pairs set by the producer. Do not change them.
func (j *Job) Labels() map[string]string { return j.leased.GetSpec().GetLabels() }

// Spec is what was dispatched, as the contract has it and with its payload as it is stored. Do not change it.
func (j *Job) Spec() *pb.JobSpec { return j.leased.GetSpec() }

// RunTimeout is the longest run of this attempt: that of the job, or the handler's where that is shorter.
func (j *Job) RunTimeout() time.Duration {
	told := j.leased.GetRunTimeout().AsDuration()
	if told == 0 {
		told = defaultRunTimeout
	}
	if own := j.handler.timeout; own > 0 && own < told {
		return own
	}
	return told
}

// Payload returns the payload as it was dispatched, without what a codec did to it.
func (j *Job) Payload() (protojobs.Payload, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if !j.opened {
		spec := j.leased.GetSpec()
		contentType := spec.GetContentType()
		if contentType == "" {
			contentType = protojobs.JSON
		}
		j.payload, j.openError = j.open(protojobs.Payload{Data: spec.GetPayload(), ContentType: contentType}, protojobs.UsePayload)
		j.opened = true
	}
	return j.payload, j.openError
}

// Checkpoint returns what an earlier attempt saved last; nil if nothing.
func (j *Job) Checkpoint() ([]byte, error) {
	stored := j.leased.GetCheckpoint()
	if len(stored) == 0 {
		return nil, nil
	}
	opened, err := j.open(protojobs.Payload{Data: stored, ContentType: protojobs.JSON}, protojobs.UseCheckpoint)
	return opened.Data, err
}

// SetResult stores a result with the completion of this attempt: JSON of the value, or bytes as they are. At most 256 KiB;
// a larger one is dropped and the completion holds. A later call replaces it.
func (j *Job) SetResult(value any) error {
	contentType := ""
	if _, isBytes := value.([]byte); isBytes {
		contentType = "application/octet-stream"
	}
	plain, err := protojobs.EncodeData(value, contentType)
	if err != nil {
		return err
	}
	if plain.ContentType = protojobs.JSON; plain.Data == nil {
		plain.Data = []byte{}
	}
	sealed, err := j.seal(plain, protojobs.UseResult)
	if err != nil {
		return err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.result, j.hasResult = sealed, true
	return nil
}

// Dispatch stores a job in the transaction that completes this one; if the attempt ends otherwise, it is never stored.
// Unless it has an id, one is made of this attempt, so it is stored once, whatever is repeated.
//
// Fails above 1000 jobs or 2 MiB, and for data that cannot be encoded.
func (j *Job) Dispatch(job protojobs.Job) error {
	spec, err := protojobs.SpecOf(job, j.handler.codec)
	if err != nil {
		return err
	}
	// What cannot be written would take the whole frame of its outcome with it, on every stream again.
	written, err := proto.Marshal(spec)
	if err != nil {
		return fmt.Errorf("worker: the job cannot be sent: %w", err)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(j.children) >= maxChildren {
		return fmt.Errorf("worker: a completion brings at most %d jobs", maxChildren)
	}
	if j.childrenSize += len(written); j.childrenSize > maxChildrenBytes {
		return fmt.Errorf("worker: the jobs of a completion have at most %d bytes in all", maxChildrenBytes)
	}
	j.children = append(j.children, spec)
	return nil
}

// Progress tells how far the job is, 0.0 to 1.0. Sent at most once a second; the last one always. The message is cut to
// 1 KiB.
func (j *Job) Progress(ratio float64, message string) error {
	if !(ratio >= 0 && ratio <= 1) {
		return errors.New("worker: progress is between 0.0 and 1.0")
	}
	j.tell(&pb.Progress{Ratio: ratio, Message: cut(message, maxProgressBytes)}, nil)
	return nil
}

// SaveCheckpoint hands bytes to the next attempt, at most 64 KiB as a codec makes them. A later call replaces it.
func (j *Job) SaveCheckpoint(data []byte) error {
	plain := protojobs.Payload{Data: append([]byte{}, data...), ContentType: protojobs.JSON}
	stored, err := j.seal(plain, protojobs.UseCheckpoint)
	if err != nil {
		return err
	}
	if len(stored) > maxCheckpointBytes {
		return fmt.Errorf("worker: a checkpoint has at most %d bytes", maxCheckpointBytes)
	}
	j.tell(nil, stored)
	return nil
}

func (j *Job) open(stored protojobs.Payload, use protojobs.Use) (protojobs.Payload, error) {
	return protojobs.Open(j.handler.codec, stored, j.context(use))
}

func (j *Job) seal(plain protojobs.Payload, use protojobs.Use) ([]byte, error) {
	if j.handler.codec == nil {
		return plain.Data, nil
	}
	sealed, err := j.handler.codec.Encode(plain, j.context(use))
	return sealed.Data, err
}

func (j *Job) context(use protojobs.Use) protojobs.PayloadContext {
	return protojobs.PayloadContext{Kind: j.Kind(), Queue: j.Queue(), Use: use, JobID: j.ID()}
}
