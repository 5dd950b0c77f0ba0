package protojobs_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	pb "github.com/proto-jobs/proto-jobs/clients/go/gen/protojobs/v1"
	"github.com/proto-jobs/proto-jobs/clients/go/internal/fake"
	"github.com/proto-jobs/proto-jobs/clients/go/protojobs"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
)

func open(t *testing.T, server *fake.Server, options protojobs.Options) *protojobs.Client {
	t.Helper()
	options.Address = server.Address
	client, err := protojobs.NewClient(options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	return client
}

func TestADispatchedJobIsStoredAsItWasAskedFor(t *testing.T) {
	server := fake.Start(t)
	client := open(t, server, protojobs.Options{})
	at := time.Date(2030, 1, 2, 3, 4, 5, 6000, time.UTC)

	dispatched, err := client.Dispatch(t.Context(), protojobs.Job{
		Kind: "greet", Queue: "greetings", Data: map[string]string{"name": "<Žofie>"}, RunAt: at, Priority: 9,
		Headers: map[string]string{"h": "1"}, Labels: map[string]string{"l": "2"}, Retry: protojobs.Retries(0),
		Unique: &protojobs.Unique{Key: "k"}, OnComplete: []protojobs.Job{{Kind: "next"}},
	})
	if err != nil {
		t.Fatal(err)
	}

	spec := server.Jobs()[0]
	if spec.GetId() != dispatched.JobID || dispatched.Outcome != protojobs.Created {
		t.Errorf("dispatched %+v, stored %s", dispatched, spec.GetId())
	}
	if got := string(spec.GetPayload()); got != `{"name":"<Žofie>"}` || spec.GetContentType() != protojobs.JSON {
		t.Errorf("payload %s of %s", got, spec.GetContentType())
	}
	if !spec.GetRunTime().AsTime().Equal(at) || spec.GetPriority() != 9 || spec.GetHeaders()["h"] != "1" || spec.GetLabels()["l"] != "2" {
		t.Errorf("spec %v", spec)
	}
	if spec.GetRetry().MaxRetries == nil || spec.GetRetry().GetMaxRetries() != 0 {
		t.Errorf("no retries is another thing than the default: %v", spec.GetRetry())
	}
	if spec.GetUnique().GetScope() != pb.UniqueScope_UNIQUE_SCOPE_UNTIL_DONE || spec.GetOnComplete()[0].GetKind() != "next" {
		t.Errorf("spec %v", spec)
	}
}

func TestConcurrentDispatchesShareFrames(t *testing.T) {
	server := fake.Start(t)
	client := open(t, server, protojobs.Options{})
	const count = 2000

	ids := make([]string, count)
	var group sync.WaitGroup
	for i := range count {
		group.Go(func() {
			dispatched, err := client.Dispatch(t.Context(), protojobs.Job{Kind: "k"})
			if err != nil {
				t.Error(err)
			}
			ids[i] = dispatched.JobID
		})
	}
	group.Wait()

	stored := map[string]bool{}
	for _, spec := range server.Jobs() {
		stored[spec.GetId()] = true
	}
	for _, id := range ids {
		if !stored[id] {
			t.Fatalf("job %s is not stored", id)
		}
	}
	if server.Calls("DispatchStream") != 1 || server.Frames() >= count {
		t.Errorf("%d streams, %d frames", server.Calls("DispatchStream"), server.Frames())
	}
}

func TestAFrameWithoutAcknowledgementIsSentAgainUnderItsIDs(t *testing.T) {
	server := fake.Start(t)
	server.FailNext("ack", status.Error(codes.Unavailable, "gone"))
	client := open(t, server, protojobs.Options{})

	dispatched, err := client.Dispatch(t.Context(), protojobs.Job{Kind: "k"})
	if err != nil {
		t.Fatal(err)
	}

	if dispatched.Outcome != protojobs.Existing || len(server.Jobs()) != 1 || server.Frames() != 2 {
		t.Errorf("%+v after %d frames, %d jobs", dispatched, server.Frames(), len(server.Jobs()))
	}
}

func TestARefusedFrameGivesEachJobItsOwnVerdict(t *testing.T) {
	server := fake.Start(t)
	server.FailNext("ack", fake.Error(codes.InvalidArgument, "INVALID_FIELD", "the frame is bad"))
	client := open(t, server, protojobs.Options{})

	dispatched, err := client.Dispatch(t.Context(), protojobs.Job{Kind: "k"})

	if err != nil || dispatched.Outcome != protojobs.Existing || server.Calls("Dispatch") != 1 {
		t.Errorf("%+v, %v after %d calls", dispatched, err, server.Calls("Dispatch"))
	}
}

func TestAServerWithoutTheStreamGetsCalls(t *testing.T) {
	server := fake.Start(t)
	server.FailNext("DispatchStream", status.Error(codes.Unimplemented, "unknown method"))
	client := open(t, server, protojobs.Options{})

	for range 2 {
		if _, err := client.Dispatch(t.Context(), protojobs.Job{Kind: "k"}); err != nil {
			t.Fatal(err)
		}
	}

	if len(server.Jobs()) != 2 || server.Calls("DispatchStream") != 1 {
		t.Errorf("%d jobs by %d streams", len(server.Jobs()), server.Calls("DispatchStream"))
	}
}

func TestAnUnavailableServerIsTriedAgainWithTheSameID(t *testing.T) {
	server := fake.Start(t)
	server.FailNext("Dispatch", status.Error(codes.Unavailable, "a"), status.Error(codes.Unavailable, "b"))
	client := open(t, server, protojobs.Options{Unary: true})

	dispatched, err := client.Dispatch(t.Context(), protojobs.Job{Kind: "k"})

	if err != nil || server.Calls("Dispatch") != 3 || server.Jobs()[0].GetId() != dispatched.JobID {
		t.Errorf("%+v, %v after %d calls", dispatched, err, server.Calls("Dispatch"))
	}
}

func TestADefiniteErrorIsNotTriedAgainAndTellsWhy(t *testing.T) {
	for _, unary := range []bool{true, false} {
		t.Run(fmt.Sprint(unary), func(t *testing.T) {
			server := fake.Start(t)
			violation := &errdetails.BadRequest_FieldViolation{Field: "spec.kind", Description: "is required"}
			calls := 0
			server.Refuse = func(*pb.JobSpec) error {
				calls++
				bad := &errdetails.BadRequest{FieldViolations: []*errdetails.BadRequest_FieldViolation{violation}}
				return fake.Error(codes.InvalidArgument, "INVALID_FIELD", "spec.kind is required", bad)
			}
			client := open(t, server, protojobs.Options{Unary: unary})

			_, err := client.Dispatch(t.Context(), protojobs.Job{})

			var told *protojobs.Error
			if !errors.As(err, &told) || !errors.Is(err, protojobs.ErrInvalidArgument) || errors.Is(err, protojobs.ErrNotFound) {
				t.Fatalf("error %v", err)
			}
			if told.Reason != "INVALID_FIELD" || told.Violations[0] != (protojobs.FieldViolation{Field: "spec.kind", Description: "is required"}) {
				t.Errorf("error %+v", told)
			}
			if calls != 1 {
				t.Errorf("asked %d times", calls)
			}
		})
	}
}

func TestTheDelayOfTheServerIsToldAndWaitedFor(t *testing.T) {
	server := fake.Start(t)
	busy := fake.Error(codes.ResourceExhausted, "OVERLOADED", "busy", &errdetails.RetryInfo{RetryDelay: durationpb.New(time.Hour)})
	server.FailNext("Dispatch", busy)
	client := open(t, server, protojobs.Options{Unary: true})

	_, err := client.Dispatch(t.Context(), protojobs.Job{Kind: "k"})

	var told *protojobs.Error
	if !errors.As(err, &told) || told.RetryAfter != time.Hour || !errors.Is(err, protojobs.ErrOverloaded) {
		t.Errorf("error %v", err)
	}
}

func TestAnotherClockIsLearnedFromARefusedID(t *testing.T) {
	for _, unary := range []bool{true, false} {
		t.Run(fmt.Sprint(unary), func(t *testing.T) {
			server := fake.Start(t)
			there := time.Date(2040, 1, 1, 0, 0, 0, 0, time.UTC)
			server.Refuse = func(spec *pb.JobSpec) error {
				if strings.HasPrefix(spec.GetId(), fmt.Sprintf("%08x", uint64(there.UnixMilli())>>16)) {
					return nil
				}
				info := &errdetails.ErrorInfo{
					Reason: "JOB_ID_TIME", Domain: "protojobs.dev", Metadata: map[string]string{"server_time": there.Format(time.RFC3339Nano)},
				}
				refused, _ := status.New(codes.InvalidArgument, "the id is of another time").WithDetails(info)
				return refused.Err()
			}
			client := open(t, server, protojobs.Options{Unary: unary})

			dispatched, err := client.Dispatch(t.Context(), protojobs.Job{Kind: "k"})

			if err != nil || server.Jobs()[0].GetId() != dispatched.JobID {
				t.Errorf("%+v, %v", dispatched, err)
			}
		})
	}
}

func TestManyJobsGoInBatchesAndEachHasItsResult(t *testing.T) {
	server := fake.Start(t)
	server.Refuse = func(spec *pb.JobSpec) error {
		if spec.GetKind() == "bad" {
			return fake.Error(codes.FailedPrecondition, "QUEUE_FULL", "full")
		}
		return nil
	}
	client := open(t, server, protojobs.Options{})
	jobs := make([]protojobs.Job, 1500)
	for i := range jobs {
		jobs[i].Kind = "good"
	}
	jobs[1200].Kind = "bad"

	results, err := client.DispatchMany(t.Context(), jobs)
	if err != nil {
		t.Fatal(err)
	}

	if server.Calls("DispatchBatch") != 2 || len(results) != 1500 || len(server.Jobs()) != 1499 {
		t.Errorf("%d calls, %d results, %d jobs", server.Calls("DispatchBatch"), len(results), len(server.Jobs()))
	}
	if !errors.Is(results[1200].Err, protojobs.ErrQueueFull) || results[1199].Err != nil {
		t.Errorf("results %v, %v", results[1200], results[1199])
	}
}

func TestARefusedJobOfAnAtomicBatchIsTheErrorOfAll(t *testing.T) {
	server := fake.Start(t)
	server.Refuse = func(*pb.JobSpec) error { return fake.Error(codes.FailedPrecondition, "QUEUE_FULL", "full") }
	client := open(t, server, protojobs.Options{})

	_, err := client.DispatchAtomic(t.Context(), []protojobs.Job{{Kind: "a"}, {Kind: "b"}})

	if !errors.Is(err, protojobs.ErrQueueFull) {
		t.Errorf("error %v", err)
	}
}

func TestACallerThatStopsWaitingSeesItsOwnContext(t *testing.T) {
	server := fake.Start(t)
	client := open(t, server, protojobs.Options{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()

	_, unary := client.Get(ctx, "x", false)
	_, piped := client.Dispatch(ctx, protojobs.Job{Kind: "k"})

	if !errors.Is(unary, context.Canceled) || !errors.Is(piped, context.Canceled) {
		t.Errorf("errors %v, %v", unary, piped)
	}
}

func TestAClosedClientRefusesDispatches(t *testing.T) {
	server := fake.Start(t)
	client := open(t, server, protojobs.Options{})
	if err := client.Close(); err != nil {
		t.Fatal(err)
	}

	_, err := client.Dispatch(t.Context(), protojobs.Job{Kind: "k"})

	if !errors.Is(err, protojobs.ErrClosed) {
		t.Errorf("error %v", err)
	}
}

func TestATokenFileIsReadAgainWhenItChanges(t *testing.T) {
	server := fake.Start(t)
	file := filepath.Join(t.TempDir(), "token")
	write := func(token string, at time.Time) {
		if err := os.WriteFile(file, []byte(token+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(file, at, at); err != nil {
			t.Fatal(err)
		}
	}
	write("one", time.Unix(1, 0))
	client := open(t, server, protojobs.Options{TokenFile: file, Unary: true})

	for i, token := range []string{"one", "two", ""} {
		write(token, time.Unix(int64(i+1), 0))
		if _, err := client.Dispatch(t.Context(), protojobs.Job{Kind: "k"}); err != nil {
			t.Fatal(err)
		}
	}

	if got := server.Tokens(); len(got) != 3 || got[0] != "Bearer one" || got[1] != "Bearer two" || got[2] != "Bearer two" {
		t.Errorf("tokens %v", got)
	}
}

func TestAMissingTokenFileFailsAtOnce(t *testing.T) {
	_, err := protojobs.NewClient(protojobs.Options{TokenFile: filepath.Join(t.TempDir(), "none")})

	if !errors.Is(err, protojobs.ErrUnauthenticated) {
		t.Errorf("error %v", err)
	}
}

func TestMiddlewareSeesTheJobsAndWhatBecameOfThem(t *testing.T) {
	server := fake.Start(t)
	var seen []string
	around := func(next protojobs.DispatchFunc) protojobs.DispatchFunc {
		return func(ctx context.Context, jobs []protojobs.Job) ([]protojobs.Result, error) {
			for i := range jobs {
				jobs[i].Headers = map[string]string{"added": "yes"}
			}
			results, err := next(ctx, jobs)
			seen = append(seen, results[0].JobID)
			return results, err
		}
	}
	client := open(t, server, protojobs.Options{Middleware: []protojobs.Middleware{around}})

	dispatched, err := client.Dispatch(t.Context(), protojobs.Job{Kind: "k"})

	if err != nil || len(seen) != 1 || seen[0] != dispatched.JobID || server.Jobs()[0].GetHeaders()["added"] != "yes" {
		t.Errorf("%v %v %v", err, seen, server.Jobs())
	}
}

func TestAListReadsEveryPage(t *testing.T) {
	server := fake.Start(t)
	client := open(t, server, protojobs.Options{})
	if _, err := client.DispatchMany(t.Context(), make([]protojobs.Job, 3)); err != nil {
		t.Fatal(err)
	}

	count := 0
	for _, err := range client.List(t.Context(), protojobs.JobFilter{}) {
		if err != nil {
			t.Fatal(err)
		}
		count++
	}

	if count != 3 {
		t.Errorf("%d jobs", count)
	}
}

func TestAnUnknownJobIsAnErrorOfItsReason(t *testing.T) {
	client := open(t, fake.Start(t), protojobs.Options{})

	_, err := client.Get(t.Context(), "none", false)

	if !errors.Is(err, protojobs.ErrJobNotFound) || !errors.Is(err, protojobs.ErrNotFound) {
		t.Errorf("error %v", err)
	}
}

func TestAWatchGoesOnBehindTheLastEventAfterItsStreamHasEnded(t *testing.T) {
	server := fake.Start(t)
	event := func(id, cursor string) *pb.JobEvent {
		return &pb.JobEvent{Job: &pb.Job{Id: id}, Type: "job.processed", Cursor: []byte(cursor)}
	}
	server.Watch(
		&pb.WatchJobsResponse{Cursor: []byte("0")},
		&pb.WatchJobsResponse{Cursor: []byte("2x"), Events: []*pb.JobEvent{event("a", "1"), event("b", "2")}},
		&pb.WatchJobsResponse{Cursor: []byte("3x"), Events: []*pb.JobEvent{event("c", "3")}},
	)
	client := open(t, server, protojobs.Options{})
	watch, err := client.Watch(t.Context(), protojobs.WatchOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer watch.Close()

	for _, wanted := range []string{"a", "b", "c"} {
		event, err := watch.Next(t.Context())
		if err != nil || event.JobID != wanted {
			t.Fatalf("event %+v, %v", event, err)
		}
	}

	begun := server.Cursors()
	if len(begun) < 3 || string(begun[1]) != "0" || string(begun[2]) != "2x" || string(watch.Cursor()) != "3x" {
		t.Errorf("streams began at %q, the watch is at %q", begun, watch.Cursor())
	}
}
