package protojobs

import (
	"bytes"
	"cmp"
	"errors"
	"maps"
	"time"

	pb "github.com/proto-jobs/proto-jobs/clients/go/gen/protojobs/v1"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// DefaultQueue is where jobs go that name no queue.
const DefaultQueue = "default"

// traceFields are the headers that jobs inherit which follow another.
var traceFields = []string{"traceparent", "tracestate", "baggage"}

// SpecOf builds the message of a job, as a dispatch sends it; codec may be nil. It chooses no id.
func SpecOf(job Job, codec Codec) (*pb.JobSpec, error) {
	if job.Delay != 0 && !job.RunAt.IsZero() {
		return nil, errors.New("protojobs: Delay and RunAt exclude each other")
	}
	payload, err := payloadOf(job, codec)
	if err != nil {
		return nil, err
	}
	spec := &pb.JobSpec{
		Id: job.ID, Queue: job.Queue, Kind: job.Kind, Payload: payload.Data, ContentType: payload.ContentType,
		Headers: maps.Clone(job.Headers), Labels: maps.Clone(job.Labels), Priority: unsigned(job.Priority),
		RunTimeout: durationOf(job.RunTimeout), Retry: job.Retry.message(), ExpireTime: timestampOf(job.ExpireAt),
		FairnessKey: job.FairnessKey, ConcurrencyKey: job.ConcurrencyKey, ResultRetention: durationOf(job.ResultRetention),
	}
	switch {
	case job.Delay != 0:
		spec.Start = &pb.JobSpec_Delay{Delay: durationpb.New(job.Delay)}
	case !job.RunAt.IsZero():
		spec.Start = &pb.JobSpec_RunTime{RunTime: timestamppb.New(job.RunAt)}
	}
	if job.Unique != nil {
		spec.Unique = job.Unique.message()
	}
	if spec.OnComplete, err = followUps(job, job.OnComplete, codec); err != nil {
		return nil, err
	}
	if spec.OnFailed, err = followUps(job, job.OnFailed, codec); err != nil {
		return nil, err
	}
	return spec, nil
}

func payloadOf(job Job, codec Codec) (Payload, error) {
	// The caller may go on to use its bytes and maps while the message is on its way.
	payload := Payload{bytes.Clone(job.Payload), job.ContentType}
	if job.Data != nil {
		if job.Payload != nil {
			return Payload{}, errors.New("protojobs: Data and Payload exclude each other")
		}
		var err error
		if payload, err = EncodeData(job.Data, job.ContentType); err != nil {
			return Payload{}, err
		}
	}
	if codec == nil {
		return payload, nil
	}
	payload.ContentType = orJSON(payload.ContentType)
	queue := cmp.Or(job.Queue, DefaultQueue)
	return codec.Encode(payload, PayloadContext{Kind: job.Kind, Queue: queue, Use: UsePayload, JobID: job.ID})
}

// followUps builds the jobs that follow one; they belong to its trace.
func followUps(job Job, next []Job, codec Codec) ([]*pb.JobSpec, error) {
	var specs []*pb.JobSpec
	for _, each := range next {
		if each.ID != "" {
			return nil, errors.New("protojobs: a job that follows another takes no ID: the server makes it")
		}
		each.Headers = withTrace(each.Headers, job.Headers)
		spec, err := SpecOf(each, codec)
		if err != nil {
			return nil, err
		}
		specs = append(specs, spec)
	}
	return specs, nil
}

// withTrace returns headers with the trace context of others, as they are if they have one.
func withTrace(headers, from map[string]string) map[string]string {
	if _, has := headers["traceparent"]; has || from["traceparent"] == "" {
		return headers
	}
	merged := maps.Clone(headers)
	if merged == nil {
		merged = map[string]string{}
	}
	for _, name := range traceFields {
		if value, has := from[name]; has {
			merged[name] = value
		}
	}
	return merged
}

func (p RetryPolicy) message() *pb.RetryPolicy {
	if p == (RetryPolicy{}) {
		return nil
	}
	policy := &pb.RetryPolicy{
		InitialBackoff: setDuration(p.InitialBackoff), MaxBackoff: setDuration(p.MaxBackoff),
		MaxRetryDuration: setDuration(p.MaxRetryDuration),
	}
	if p.MaxRetries != nil {
		retries := unsigned(*p.MaxRetries)
		policy.MaxRetries = &retries
	}
	if p.Multiplier != 0 {
		policy.Multiplier = &p.Multiplier
	}
	policy.Jitter = pb.Jitter(pb.Jitter_value["JITTER_"+string(p.Jitter)])
	return policy
}

func retryPolicyOf(policy *pb.RetryPolicy) RetryPolicy {
	if policy == nil {
		return RetryPolicy{}
	}
	found := RetryPolicy{
		InitialBackoff: spanOf(policy.GetInitialBackoff()), Multiplier: policy.GetMultiplier(),
		MaxBackoff: spanOf(policy.GetMaxBackoff()), Jitter: Jitter(nameOf(policy.GetJitter().String(), "JITTER_")),
		MaxRetryDuration: spanOf(policy.GetMaxRetryDuration()),
	}
	if policy.MaxRetries != nil {
		retries := int(policy.GetMaxRetries())
		found.MaxRetries = &retries
	}
	return found
}

var scopes = map[pb.UniqueScope]UniqueScope{
	pb.UniqueScope_UNIQUE_SCOPE_UNTIL_DONE:  UntilDone,
	pb.UniqueScope_UNIQUE_SCOPE_UNTIL_START: UntilStart,
	pb.UniqueScope_UNIQUE_SCOPE_WINDOW:      WithinWindow,
}

var conflicts = map[pb.UniqueConflict]OnConflict{
	pb.UniqueConflict_UNIQUE_CONFLICT_REJECT:          Reject,
	pb.UniqueConflict_UNIQUE_CONFLICT_RETURN_EXISTING: ReturnExisting,
	pb.UniqueConflict_UNIQUE_CONFLICT_REPLACE:         Replace,
	pb.UniqueConflict_UNIQUE_CONFLICT_DEBOUNCE:        Debounce,
}

func (u Unique) message() *pb.Unique {
	return &pb.Unique{
		Key: u.Key, Scope: keyOf(scopes, u.Scope), Window: durationOf(u.Window), OnConflict: keyOf(conflicts, u.OnConflict),
	}
}

// keyOf returns the key of a value; the zero key where it has none.
func keyOf[Key, Value comparable](pairs map[Key]Value, wanted Value) Key {
	for key, value := range pairs {
		if value == wanted {
			return key
		}
	}
	var none Key
	return none
}

func durationOf(span time.Duration) *durationpb.Duration {
	if span == 0 {
		return nil
	}
	return durationpb.New(span)
}

// setDuration keeps 0 s apart from what is not set.
func setDuration(span *time.Duration) *durationpb.Duration {
	if span == nil {
		return nil
	}
	return durationpb.New(*span)
}

func spanOf(span *durationpb.Duration) *time.Duration {
	if span == nil {
		return nil
	}
	return new(span.AsDuration())
}

func timestampOf(at time.Time) *timestamppb.Timestamp {
	if at.IsZero() {
		return nil
	}
	return timestamppb.New(at)
}

func timeOf(at *timestamppb.Timestamp) time.Time {
	if at == nil {
		return time.Time{}
	}
	return at.AsTime()
}

// unsigned passes a number on to the server, which judges it; one below zero becomes one that is too large.
func unsigned(number int) uint32 {
	return uint32(number)
}
