package worker_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	pb "github.com/proto-jobs/proto-jobs/clients/go/gen/protojobs/v1"
	"github.com/proto-jobs/proto-jobs/clients/go/internal/fake"
	"github.com/proto-jobs/proto-jobs/clients/go/protojobs"
	"github.com/proto-jobs/proto-jobs/clients/go/protojobs/worker"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"
)

const ttl = 8 * time.Second

// running is a worker of a fake server, with the end of its Run.
type running struct {
	*worker.Worker
	t      *testing.T
	exit   worker.ExitReason
	err    error
	done   chan struct{}
	cancel context.CancelFunc
}

func run(t *testing.T, server *fake.Server, options worker.Options, register func(*worker.Worker)) *running {
	t.Helper()
	options.Server.Address = server.Address
	options.Server.Logger = slog.New(slog.DiscardHandler)
	w := worker.New(options)
	register(w)
	ctx, cancel := context.WithCancel(context.Background())
	r := &running{Worker: w, t: t, done: make(chan struct{}), cancel: cancel}
	go func() {
		defer close(r.done)
		r.exit, r.err = w.Run(ctx)
	}()
	t.Cleanup(func() {
		w.Kill()
		<-r.done
		cancel()
	})
	return r
}

func (r *running) wait() worker.ExitReason {
	r.t.Helper()
	receive(r.t, r.done)
	return r.exit
}

func receive[T any](t *testing.T, from <-chan T) T {
	t.Helper()
	select {
	case value := <-from:
		return value
	case <-time.After(20 * time.Second):
		t.Fatal("nothing came")
		panic("unreachable")
	}
}

func job(id, kind, payload string) *pb.LeasedJob {
	return &pb.LeasedJob{
		JobId: id, Attempt: 1, RunTimeout: durationpb.New(time.Hour), MaxRetries: 3,
		Spec: &pb.JobSpec{Id: id, Kind: kind, Queue: "default", Payload: []byte(payload)},
	}
}

func handle(kind string, run worker.HandlerFunc) func(*worker.Worker) {
	return func(w *worker.Worker) { w.Handle(kind, run) }
}

// settled runs one job and returns how it was settled.
func settled(t *testing.T, options worker.Options, leased *pb.LeasedJob, register func(*worker.Worker)) *pb.SettleItem {
	t.Helper()
	server := fake.Start(t)
	run(t, server, options, register)
	stream := server.Accept(t)
	stream.Welcome(ttl)
	stream.Deliver(leased)
	return stream.NextSettle()[0]
}

func TestHelloSaysWhoTheWorkerIsAndWhatItTakes(t *testing.T) {
	t.Parallel()
	server := fake.Start(t)
	options := worker.Options{Queues: []worker.Queue{{"b", 5}, {"a", 1}}, Strict: true, Slots: 4, Name: "me"}
	run(t, server, options, handle("greet", func(context.Context, *worker.Job) error { return nil }))

	hello := server.Accept(t).Hello

	if len(hello.GetSessionId()) != 16 || hello.GetStreamNo() != 1 || hello.GetSdk() != "protojobs-go" || hello.GetWorker() != "me" {
		t.Errorf("hello %v", hello)
	}
	if hello.GetQueues()[0].GetName() != "b" || hello.GetQueues()[0].GetWeight() != 5 ||
		hello.GetQueueOrder() != pb.QueueOrder_QUEUE_ORDER_STRICT || hello.GetKinds()[0] != "greet" {
		t.Errorf("hello %v", hello)
	}
	if hello.GetSlots() != 4 || hello.GetWindow().GetMaxInFlight() != 8 {
		t.Errorf("slots %d, window %v", hello.GetSlots(), hello.GetWindow())
	}
}

func TestAHandlerWithoutAnErrorCompletesItsJob(t *testing.T) {
	t.Parallel()
	type person struct{ Name string }
	item := settled(t, worker.Options{}, job("a", "greet", `{"Name":"Ann"}`), func(w *worker.Worker) {
		worker.Register(w, "greet", func(_ context.Context, job *worker.Job, who person) error {
			return job.SetResult("Hello " + who.Name)
		})
	})

	if got := string(item.GetComplete().GetResult()); got != `"Hello Ann"` {
		t.Errorf("settled %v", item)
	}
}

func TestTheFrameThatCoversAJobLeavesBeforeItsHandlerBegins(t *testing.T) {
	t.Parallel()
	server := fake.Start(t)
	began, goOn := make(chan string, 10), make(chan struct{})
	run(t, server, worker.Options{Slots: 1}, handle("k", func(_ context.Context, job *worker.Job) error {
		began <- job.ID()
		<-goOn
		return nil
	}))
	stream := server.Accept(t)
	stream.Welcome(ttl)
	stream.Deliver(job("a", "k", ""), job("b", "k", ""))

	stream.Next(func(frame *pb.LeaseRequest) bool { return frame.GetStartedSeq() == 1 })
	if first := receive(t, began); first != "a" || stream.Receipt != 2 {
		t.Errorf("%s began, frame %d is acknowledged", first, stream.Receipt)
	}
	goOn <- struct{}{}
	stream.Next(func(frame *pb.LeaseRequest) bool { return frame.GetStartedSeq() == 2 })
	if second := receive(t, began); second != "b" {
		t.Errorf("%s began", second)
	}
	close(goOn)
}

func TestWhatHasEndedIsSettledTogether(t *testing.T) {
	t.Parallel()
	server := fake.Start(t)
	const count = 1000
	goOn, ended := make(chan struct{}), make(chan string, count)
	options := worker.Options{Slots: count, Events: worker.Events{
		Ended: func(job *worker.Job, _ worker.Outcome, _ error) { ended <- job.ID() },
	}}
	run(t, server, options, handle("k", func(context.Context, *worker.Job) error {
		<-goOn
		return nil
	}))
	first := server.Accept(t)
	first.Welcome(ttl)
	var jobs []*pb.LeasedJob
	var kept []*pb.LeaseRef
	for i := range count {
		jobs = append(jobs, job(fmt.Sprint(i), "k", ""))
		kept = append(kept, &pb.LeaseRef{JobId: fmt.Sprint(i), Attempt: 1})
	}
	first.Deliver(jobs...)
	first.Next(func(frame *pb.LeaseRequest) bool { return frame.GetStartedSeq() == count })
	first.End(status.Error(codes.Unavailable, "gone"))
	second := server.Accept(t)
	close(goOn)
	for range count {
		receive(t, ended)
	}
	second.Welcome(ttl, kept...)

	frames, settled := 0, map[string]bool{}
	for len(settled) < count {
		for _, item := range second.NextSettle() {
			settled[item.GetJobId()] = true
		}
		frames++
	}

	// The last handlers that have ended may not have reported yet.
	if frames > 10 {
		t.Errorf("%d frames", frames)
	}
}

func TestWhatAHandlerReturnsDecidesHowItsJobEnds(t *testing.T) {
	t.Parallel()
	wrapped := fmt.Errorf("outer: %w", os.ErrNotExist)
	for name, each := range map[string]struct {
		run  worker.HandlerFunc
		want func(*pb.SettleItem) bool
	}{
		"an error is a failure that may be retried": {
			func(context.Context, *worker.Job) error { return wrapped },
			func(item *pb.SettleItem) bool {
				fail := item.GetFail()
				return fail != nil && fail.Retryable == nil && fail.GetRetryAfter() == nil &&
					fail.GetError().GetMessage() == "outer: file does not exist" && fail.GetError().GetType() == "errors.errorString"
			},
		},
		"a panic is a failure with its stack": {
			func(context.Context, *worker.Job) error { panic(42) },
			func(item *pb.SettleItem) bool {
				told := item.GetFail().GetError()
				return told.GetType() == "panic" && told.GetMessage() == "42" && strings.Contains(told.GetStack(), "worker_test.go") &&
					len(told.GetStack()) <= 16*1024
			},
		},
		"Retry names the wait": {
			func(context.Context, *worker.Job) error { return worker.Retry(5*time.Second, errors.New("busy")) },
			func(item *pb.SettleItem) bool {
				return item.GetFail().GetRetryAfter().AsDuration() == 5*time.Second && item.GetFail().GetError().GetMessage() == "busy"
			},
		},
		"NonRetryable ends the job, wrapped too": {
			func(context.Context, *worker.Job) error {
				return fmt.Errorf("while trying: %w", worker.NonRetryable(errors.New("hopeless")))
			},
			func(item *pb.SettleItem) bool {
				return item.GetFail().Retryable != nil && !item.GetFail().GetRetryable() && item.GetFail().GetError().GetMessage() == "hopeless"
			},
		},
		"Snooze is no failure": {
			func(context.Context, *worker.Job) error { return worker.Snooze(time.Minute) },
			func(item *pb.SettleItem) bool { return item.GetSnooze().GetDelay().AsDuration() == time.Minute },
		},
		"Cancel ends the job as cancelled": {
			func(context.Context, *worker.Job) error { return worker.Cancel("enough") },
			func(item *pb.SettleItem) bool { return item.GetCancelled() != nil },
		},
		"Discard ends the job as failed": {
			func(context.Context, *worker.Job) error { return worker.Discard("stale") },
			func(item *pb.SettleItem) bool {
				return item.GetFail().Retryable != nil && !item.GetFail().GetRetryable() && item.GetFail().GetError().GetMessage() == "stale"
			},
		},
		"jobs are stored with the completion": {
			func(_ context.Context, job *worker.Job) error {
				return job.Dispatch(protojobs.Job{Kind: "next", Queue: "other"})
			},
			func(item *pb.SettleItem) bool {
				return len(item.GetComplete().GetDispatch()) == 1 && item.GetComplete().GetDispatch()[0].GetKind() == "next"
			},
		},
		"a result that is too large goes with one byte too many": {
			func(_ context.Context, job *worker.Job) error { return job.SetResult(make([]byte, 5<<20)) },
			func(item *pb.SettleItem) bool { return len(item.GetComplete().GetResult()) == 256*1024+1 },
		},
		"a checkpoint comes with the failure": {
			func(_ context.Context, job *worker.Job) error {
				return errors.Join(job.SaveCheckpoint([]byte("half")), errors.New("then this"))
			},
			func(item *pb.SettleItem) bool { return string(item.GetFail().GetCheckpoint()) == "half" },
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			item := settled(t, worker.Options{}, job("a", "k", ""), handle("k", each.run))
			if !each.want(item) {
				t.Errorf("settled %v", item)
			}
		})
	}
}

type counted struct {
	N *int `json:"n"`
}

func (c counted) Validate() error {
	if c.N == nil {
		return errors.New("n is missing")
	}
	return nil
}

func TestAPayloadThatIsNotOfItsTypeFailsWithoutRetryAndSaysWhy(t *testing.T) {
	t.Parallel()
	for payload, why := range map[string]string{`{"n":"secret"}`: "n: string cannot be read into int", `{}`: "n is missing"} {
		item := settled(t, worker.Options{}, job("a", "typed", payload), func(w *worker.Worker) {
			worker.Register(w, "typed", func(context.Context, *worker.Job, counted) error { return nil })
		})

		told := item.GetFail()
		if told.Retryable == nil || told.GetRetryable() || told.GetError().GetMessage() != why || told.GetError().GetType() != "InvalidPayload" {
			t.Errorf("%s: settled %v", payload, item)
		}
	}
}

func TestAnUnknownKindGoesBack(t *testing.T) {
	t.Parallel()
	item := settled(t, worker.Options{}, job("a", "other", ""), handle("k", func(context.Context, *worker.Job) error { return nil }))

	if item.GetRelease().GetReason() != pb.ReleaseReason_RELEASE_REASON_UNKNOWN_KIND {
		t.Errorf("settled %v", item)
	}
}

func untilStopped(stopped chan<- error) worker.HandlerFunc {
	return func(ctx context.Context, _ *worker.Job) error {
		<-ctx.Done()
		stopped <- context.Cause(ctx)
		return ctx.Err()
	}
}

func TestACancelledJobStopsItsHandlerAndIsSettledAsCancelled(t *testing.T) {
	t.Parallel()
	server := fake.Start(t)
	stopped := make(chan error, 1)
	run(t, server, worker.Options{}, handle("k", untilStopped(stopped)))
	stream := server.Accept(t)
	stream.Welcome(ttl)
	stream.Deliver(job("a", "k", ""))
	stream.Next(func(frame *pb.LeaseRequest) bool { return frame.GetStartedSeq() == 1 })

	stream.Cancel("a", 1, pb.CancelReason_CANCEL_REASON_CANCELLED)

	if cause := receive(t, stopped); !errors.Is(cause, worker.ErrJobCancelled) {
		t.Errorf("stopped by %v", cause)
	}
	if item := stream.NextSettle()[0]; item.GetCancelled() == nil {
		t.Errorf("settled %v", item)
	}
}

func TestARunTimeoutStopsTheHandlerAndFailsTheAttempt(t *testing.T) {
	t.Parallel()
	stopped := make(chan error, 1)
	leased := job("a", "k", "")
	leased.RunTimeout = durationpb.New(50 * time.Millisecond)

	item := settled(t, worker.Options{}, leased, handle("k", untilStopped(stopped)))

	if cause := receive(t, stopped); !errors.Is(cause, worker.ErrTimeout) || item.GetFail().GetError().GetType() != "TIMEOUT" {
		t.Errorf("stopped by %v, settled %v", cause, item)
	}
}

func TestAHandlerThatDoesNotStopLosesItsSlotAndItsJobGetsAnOutcome(t *testing.T) {
	t.Parallel()
	server := fake.Start(t)
	goOn := make(chan struct{})
	r := run(t, server, worker.Options{StopGrace: time.Millisecond, StuckLimit: 1}, handle("k", func(context.Context, *worker.Job) error {
		<-goOn
		return nil
	}))
	defer close(goOn)
	stream := server.Accept(t)
	stream.Welcome(ttl)
	leased := job("a", "k", "")
	leased.RunTimeout = durationpb.New(50 * time.Millisecond)
	stream.Deliver(leased)

	item := stream.NextSettle()[0]
	stream.Settled("a", 1, pb.SettleCode_SETTLE_CODE_OK, pb.JobState_JOB_STATE_RETRYING)

	if item.GetFail().GetError().GetType() != "TIMEOUT" {
		t.Errorf("settled %v", item)
	}
	stream.Ended()
	stream.End(nil)
	if exit := r.wait(); exit != worker.ExitStuck || exit.Code() != 75 {
		t.Errorf("exit %s", exit)
	}
}

func TestAServerThatFallsSilentIsLeftAndHandlersAreFenced(t *testing.T) {
	t.Parallel()
	server := fake.Start(t)
	stopped := make(chan error, 1)
	run(t, server, worker.Options{}, handle("k", untilStopped(stopped)))
	stream := server.Accept(t)
	stream.Welcome(400 * time.Millisecond)
	stream.Deliver(job("a", "k", ""))

	// Nothing is sent from here on: the watchdog drops the stream, and 80 % of the ttl later the handler is stopped.
	if cause := receive(t, stopped); !errors.Is(cause, worker.ErrLeaseLost) {
		t.Errorf("stopped by %v", cause)
	}
	second := server.Accept(t)
	if held := second.Hello.GetHeld(); second.Hello.GetStreamNo() < 2 || len(held) != 1 || !held[0].GetStarted() {
		t.Errorf("hello %v", second.Hello)
	}
}

func TestAServerThatFallsSilentAgainOnTheSameStreamStopsHandlersAgain(t *testing.T) {
	t.Parallel()
	server := fake.Start(t)
	stopped := make(chan error, 1)
	run(t, server, worker.Options{}, handle("k", untilStopped(stopped)))
	stream := server.Accept(t)
	stream.Send(&pb.LeaseResponse{Frame: &pb.LeaseResponse_Welcome{Welcome: &pb.Welcome{
		ServerId: "fake", SessionTtl: durationpb.New(400 * time.Millisecond), HeartbeatInterval: durationpb.New(time.Minute),
	}}})

	for _, id := range []string{"a", "b"} {
		stream.Deliver(job(id, "k", ""))
		if cause := receive(t, stopped); !errors.Is(cause, worker.ErrLeaseLost) {
			t.Errorf("%s stopped by %v", id, cause)
		}
		stream.NextSettle()
		stream.Settled(id, 1, pb.SettleCode_SETTLE_CODE_OK, pb.JobState_JOB_STATE_PENDING)
	}
}

func TestHeartbeatsComeWithoutWork(t *testing.T) {
	t.Parallel()
	server := fake.Start(t)
	run(t, server, worker.Options{}, handle("k", func(context.Context, *worker.Job) error { return nil }))
	stream := server.Accept(t)
	stream.Welcome(time.Second)

	for range 4 {
		stream.Next(func(frame *pb.LeaseRequest) bool { return frame.GetPing() != nil })
		stream.Pong()
	}
}

func TestALostStreamIsResumedAndWhatTheServerHasNotKeptIsNeverSettled(t *testing.T) {
	t.Parallel()
	server := fake.Start(t)
	stopped := make(chan error, 1)
	goOn := make(chan struct{})
	run(t, server, worker.Options{}, func(w *worker.Worker) {
		w.Handle("stops", untilStopped(stopped))
		w.Handle("goes on", func(context.Context, *worker.Job) error { <-goOn; return nil })
	})
	first := server.Accept(t)
	first.Welcome(ttl)
	first.Deliver(job("lost", "stops", ""), job("kept", "goes on", ""))
	first.Next(func(frame *pb.LeaseRequest) bool { return frame.GetStartedSeq() == 2 })
	first.End(status.Error(codes.Unavailable, "gone"))

	second := server.Accept(t)
	second.Welcome(ttl, &pb.LeaseRef{JobId: "kept", Attempt: 1})
	cause := receive(t, stopped)
	close(goOn)

	items := second.NextSettle()
	if !errors.Is(cause, worker.ErrLeaseLost) || len(items) != 1 || items[0].GetJobId() != "kept" {
		t.Errorf("stopped by %v, settled %v", cause, items)
	}
	if string(first.Hello.GetSessionId()) != string(second.Hello.GetSessionId()) || second.Hello.GetStreamNo() != 2 || len(second.Hello.GetHeld()) != 2 {
		t.Errorf("hello %v", second.Hello)
	}
}

func TestAnOutcomeWithoutAnAnswerGoesOutAgainOnTheNextStream(t *testing.T) {
	t.Parallel()
	server := fake.Start(t)
	run(t, server, worker.Options{}, handle("k", func(context.Context, *worker.Job) error { return nil }))
	first := server.Accept(t)
	first.Welcome(ttl)
	first.Deliver(job("a", "k", ""))
	first.NextSettle()
	first.End(status.Error(codes.Unavailable, "gone"))

	second := server.Accept(t)
	second.Welcome(ttl)

	if items := second.NextSettle(); items[0].GetJobId() != "a" {
		t.Errorf("settled %v", items)
	}
}

func TestASessionThatTheServerDoesNotKnowBeginsAnew(t *testing.T) {
	t.Parallel()
	server := fake.Start(t)
	stopped := make(chan error, 1)
	run(t, server, worker.Options{}, handle("k", untilStopped(stopped)))
	first := server.Accept(t)
	first.Welcome(ttl)
	first.Deliver(job("a", "k", ""))
	first.Next(func(frame *pb.LeaseRequest) bool { return frame.GetStartedSeq() == 1 })
	first.End(fake.Error(codes.FailedPrecondition, "SESSION_CLOSED", "the session has expired"))

	cause, second := receive(t, stopped), server.Accept(t)

	if !errors.Is(cause, worker.ErrLeaseLost) || second.Hello.GetStreamNo() != 1 || len(second.Hello.GetHeld()) != 0 ||
		string(first.Hello.GetSessionId()) == string(second.Hello.GetSessionId()) {
		t.Errorf("stopped by %v, hello %v", cause, second.Hello)
	}
}

func TestAnOutcomeThatWasNotStoredIsSentAgain(t *testing.T) {
	t.Parallel()
	server := fake.Start(t)
	run(t, server, worker.Options{}, handle("k", func(context.Context, *worker.Job) error { return nil }))
	stream := server.Accept(t)
	stream.Welcome(ttl)
	stream.Deliver(job("a", "k", ""))
	stream.NextSettle()

	stream.Settled("a", 1, pb.SettleCode_SETTLE_CODE_RETRY_LATER, 0)

	if items := stream.NextSettle(); items[0].GetJobId() != "a" {
		t.Errorf("settled %v", items)
	}
}

func TestASupersededOutcomeIsDroppedAndTold(t *testing.T) {
	t.Parallel()
	server := fake.Start(t)
	told := make(chan worker.Settled, 1)
	options := worker.Options{Events: worker.Events{Settled: func(is worker.Settled) { told <- is }}}
	r := run(t, server, options, handle("k", func(context.Context, *worker.Job) error { return nil }))
	stream := server.Accept(t)
	stream.Welcome(ttl)
	stream.Deliver(job("a", "k", ""))
	stream.NextSettle()

	stream.Settled("a", 1, pb.SettleCode_SETTLE_CODE_LEASE_SUPERSEDED, pb.JobState_JOB_STATE_RUNNING)

	if is := receive(t, told); is.Code != "LEASE_SUPERSEDED" || is.JobID != "a" {
		t.Errorf("told %+v", is)
	}
	if health := r.Health(); health.Unsettled != 0 {
		t.Errorf("health %+v", health)
	}
}

func TestADrainMovesTheWorkerToAnotherStreamWithWhatItHolds(t *testing.T) {
	t.Parallel()
	server := fake.Start(t)
	goOn := make(chan struct{})
	run(t, server, worker.Options{}, handle("k", func(context.Context, *worker.Job) error { <-goOn; return nil }))
	first := server.Accept(t)
	first.Welcome(ttl)
	first.Deliver(job("a", "k", ""))
	first.Next(func(frame *pb.LeaseRequest) bool { return frame.GetStartedSeq() == 1 })

	first.Drain(pb.DrainReason_DRAIN_REASON_AGE)
	first.Ended()
	second := server.Accept(t)
	second.Welcome(ttl, &pb.LeaseRef{JobId: "a", Attempt: 1})
	close(goOn)

	if items := second.NextSettle(); items[0].GetJobId() != "a" || items[0].GetComplete() == nil {
		t.Errorf("settled %v", items)
	}
}

func TestAWorkerThatIsDrainedByAnOperatorFinishesAndDoesNotComeBack(t *testing.T) {
	t.Parallel()
	server := fake.Start(t)
	r := run(t, server, worker.Options{}, handle("k", func(context.Context, *worker.Job) error { return nil }))
	stream := server.Accept(t)
	stream.Welcome(ttl)

	stream.Drain(pb.DrainReason_DRAIN_REASON_WORKER)
	stream.Next(func(frame *pb.LeaseRequest) bool { return frame.GetGoodbye() != nil })
	stream.Ended()
	stream.End(nil)

	if exit := r.wait(); exit != worker.ExitDrained {
		t.Errorf("exit %s", exit)
	}
}

func TestAStoppedWorkerFinishesWhatRunsAndDropsWhatWaits(t *testing.T) {
	t.Parallel()
	server := fake.Start(t)
	goOn := make(chan struct{})
	r := run(t, server, worker.Options{Slots: 1}, handle("k", func(ctx context.Context, _ *worker.Job) error {
		<-goOn
		return ctx.Err()
	}))
	stream := server.Accept(t)
	stream.Welcome(ttl)
	stream.Deliver(job("a", "k", ""), job("b", "k", ""))
	stream.Next(func(frame *pb.LeaseRequest) bool { return frame.GetStartedSeq() == 1 })

	r.cancel()
	goodbye := stream.Next(func(frame *pb.LeaseRequest) bool { return frame.GetGoodbye() != nil }).GetGoodbye()
	close(goOn)
	items := stream.NextSettle()
	stream.Settled("a", 1, pb.SettleCode_SETTLE_CODE_OK, pb.JobState_JOB_STATE_COMPLETED)
	stream.Ended()
	stream.End(nil)

	if goodbye.GetMode() != pb.GoodbyeMode_GOODBYE_MODE_FINISH || goodbye.GetDeadline().AsDuration() != 35*time.Second {
		t.Errorf("goodbye %v", goodbye)
	}
	if len(items) != 1 || items[0].GetJobId() != "a" || items[0].GetComplete() == nil || stream.Started != 1 {
		t.Errorf("settled %v, started %d", items, stream.Started)
	}
	if exit := r.wait(); exit != worker.ExitSignal || r.err != nil || r.Processed() != 1 {
		t.Errorf("exit %s, %v, processed %d", exit, r.err, r.Processed())
	}
}

func TestAfterTheGraceHandlersAreCancelledAndTheirJobsGoBack(t *testing.T) {
	t.Parallel()
	server := fake.Start(t)
	stopped := make(chan error, 1)
	r := run(t, server, worker.Options{Grace: time.Millisecond}, handle("k", untilStopped(stopped)))
	stream := server.Accept(t)
	stream.Welcome(ttl)
	stream.Deliver(job("a", "k", ""))
	stream.Next(func(frame *pb.LeaseRequest) bool { return frame.GetStartedSeq() == 1 })

	r.Stop()

	if cause := receive(t, stopped); !errors.Is(cause, worker.ErrShutdown) {
		t.Errorf("stopped by %v", cause)
	}
	if item := stream.NextSettle()[0]; item.GetRelease() == nil {
		t.Errorf("settled %v", item)
	}
}

func TestAKilledWorkerGivesEverythingBackAtOnce(t *testing.T) {
	t.Parallel()
	server := fake.Start(t)
	goOn, ended := make(chan struct{}), make(chan worker.Outcome, 2)
	defer close(goOn)
	options := worker.Options{Events: worker.Events{Ended: func(_ *worker.Job, outcome worker.Outcome, _ error) { ended <- outcome }}}
	r := run(t, server, options, handle("k", func(context.Context, *worker.Job) error { <-goOn; return nil }))
	stream := server.Accept(t)
	stream.Welcome(ttl)
	stream.Deliver(job("a", "k", ""))
	stream.Next(func(frame *pb.LeaseRequest) bool { return frame.GetStartedSeq() == 1 })

	r.Kill()

	if item := stream.NextSettle()[0]; item.GetRelease() == nil {
		t.Errorf("settled %v", item)
	}
	if outcome := receive(t, ended); outcome != worker.OutcomeAbandoned {
		t.Errorf("ended as %s", outcome)
	}
	if exit := r.wait(); exit != worker.ExitKilled || exit.Code() != 130 {
		t.Errorf("exit %s", exit)
	}
}

func TestAWorkerThatIsRefusedEndsAndSaysWhy(t *testing.T) {
	t.Parallel()
	server := fake.Start(t)
	server.FailNext("Lease", fake.Error(codes.Unauthenticated, "UNAUTHENTICATED", "no valid credentials"))
	r := run(t, server, worker.Options{}, handle("k", func(context.Context, *worker.Job) error { return nil }))

	if exit := r.wait(); exit != worker.ExitRefused || !errors.Is(r.err, protojobs.ErrUnauthenticated) || exit.Code() != 78 {
		t.Errorf("exit %s, %v", exit, r.err)
	}
}

func TestProgressIsToldAndACheckpointIsRead(t *testing.T) {
	t.Parallel()
	server := fake.Start(t)
	goOn, read := make(chan struct{}), make(chan string, 1)
	run(t, server, worker.Options{}, handle("k", func(_ context.Context, job *worker.Job) error {
		saved, err := job.Checkpoint()
		read <- string(saved)
		if err := errors.Join(err, job.Progress(0.5, "half"), job.SaveCheckpoint([]byte("new"))); err != nil {
			return err
		}
		<-goOn
		return nil
	}))
	defer close(goOn)
	stream := server.Accept(t)
	stream.Welcome(ttl)
	leased := job("a", "k", "")
	leased.Checkpoint = []byte("old")
	stream.Deliver(leased)

	var progress *pb.Progress
	var checkpoint []byte
	for progress == nil || checkpoint == nil {
		frame := stream.Next(func(frame *pb.LeaseRequest) bool { return frame.GetUpdate() != nil })
		for _, item := range frame.GetUpdate().GetItems() {
			if item.GetProgress() != nil {
				progress = item.GetProgress()
			}
			if item.GetCheckpoint() != nil {
				checkpoint = item.GetCheckpoint()
			}
		}
	}

	if receive(t, read) != "old" || progress.GetRatio() != 0.5 || progress.GetMessage() != "half" || string(checkpoint) != "new" {
		t.Errorf("progress %v, checkpoint %q", progress, checkpoint)
	}
}

func TestTheFailedHookRunsForTheAttemptThatEndsTheJob(t *testing.T) {
	t.Parallel()
	server := fake.Start(t)
	told := make(chan error, 1)
	wrong := errors.New("wrong")
	run(t, server, worker.Options{}, func(w *worker.Worker) {
		w.Handle("k", func(context.Context, *worker.Job) error { return wrong },
			worker.WithOnFailed(func(_ context.Context, _ *worker.Job, err error) { told <- err }))
	})
	stream := server.Accept(t)
	stream.Welcome(ttl)
	stream.Deliver(job("a", "k", ""))
	stream.NextSettle()

	stream.Settled("a", 1, pb.SettleCode_SETTLE_CODE_OK, pb.JobState_JOB_STATE_FAILED)

	if err := receive(t, told); !errors.Is(err, wrong) {
		t.Errorf("told %v", err)
	}
}

func TestAWorkerLeavesAfterItsJobs(t *testing.T) {
	t.Parallel()
	server := fake.Start(t)
	r := run(t, server, worker.Options{MaxJobs: 1}, handle("k", func(context.Context, *worker.Job) error { return nil }))
	stream := server.Accept(t)
	if window := stream.Hello.GetWindow().GetMaxInFlight(); window != 1 {
		t.Errorf("window %d", window)
	}
	stream.Welcome(ttl)
	stream.Deliver(job("a", "k", ""))
	stream.NextSettle()
	stream.Settled("a", 1, pb.SettleCode_SETTLE_CODE_OK, pb.JobState_JOB_STATE_COMPLETED)
	stream.Ended()
	stream.End(nil)

	if exit := r.wait(); exit != worker.ExitMaxJobs {
		t.Errorf("exit %s", exit)
	}
}

func TestAWorkerLeavesOnceItsQueuesAreEmpty(t *testing.T) {
	t.Parallel()
	server := fake.Start(t)
	r := run(t, server, worker.Options{UntilEmpty: true}, handle("k", func(context.Context, *worker.Job) error { return nil }))
	stream := server.Accept(t)
	stream.Welcome(ttl)
	stream.Next(func(frame *pb.LeaseRequest) bool { return frame.GetGoodbye() != nil })
	stream.End(nil)

	if exit := r.wait(); exit != worker.ExitEmpty {
		t.Errorf("exit %s", exit)
	}
}

func TestTheHealthFileIsThereWhileTheWorkerRuns(t *testing.T) {
	t.Parallel()
	server := fake.Start(t)
	file := filepath.Join(t.TempDir(), "healthy")
	connected := make(chan worker.Connected, 1)
	var once sync.Once
	options := worker.Options{HealthFile: file, Events: worker.Events{Connected: func(is worker.Connected) { once.Do(func() { connected <- is }) }}}
	r := run(t, server, options, handle("k", func(context.Context, *worker.Job) error { return nil }))
	server.Accept(t).Welcome(ttl)
	receive(t, connected)
	if _, err := os.Stat(file); err != nil {
		t.Error(err)
	}

	r.Kill()
	r.wait()

	if _, err := os.Stat(file); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the file is still there: %v", err)
	}
}

func TestMiddlewareWrapsEveryHandler(t *testing.T) {
	t.Parallel()
	seen := make(chan string, 1)
	around := func(next worker.HandlerFunc) worker.HandlerFunc {
		return func(ctx context.Context, job *worker.Job) error {
			err := next(ctx, job)
			seen <- job.Kind()
			return err
		}
	}

	item := settled(t, worker.Options{Middleware: []worker.Middleware{around}}, job("a", "k", ""),
		handle("k", func(context.Context, *worker.Job) error { return nil }))

	if item.GetComplete() == nil || receive(t, seen) != "k" {
		t.Errorf("settled %v", item)
	}
}

func TestNothingThatAFencedHandlerReturnsIsSettledAsComplete(t *testing.T) {
	t.Parallel()
	server := fake.Start(t)
	stopped := make(chan error, 1)
	run(t, server, worker.Options{}, handle("k", func(ctx context.Context, _ *worker.Job) error {
		<-ctx.Done()
		stopped <- context.Cause(ctx)
		return nil
	}))
	first := server.Accept(t)
	first.Welcome(400 * time.Millisecond)
	first.Deliver(job("a", "k", ""))
	cause := receive(t, stopped)

	second := server.Accept(t)
	second.Welcome(ttl, &pb.LeaseRef{JobId: "a", Attempt: 1})

	if item := second.NextSettle()[0]; !errors.Is(cause, worker.ErrLeaseLost) || item.GetRelease() == nil {
		t.Errorf("stopped by %v, settled %v", cause, item)
	}
}

func TestAHandlerThatEndsByItsOwnDeadlineHasTimedOut(t *testing.T) {
	t.Parallel()
	leased := job("a", "k", "")
	leased.RunTimeout = durationpb.New(50 * time.Millisecond)

	item := settled(t, worker.Options{}, leased, handle("k", func(ctx context.Context, _ *worker.Job) error {
		deadline, _ := ctx.Deadline()
		// As calls do that take the deadline of their context.
		call, cancel := context.WithDeadline(context.Background(), deadline)
		defer cancel()
		<-call.Done()
		return fmt.Errorf("calling: %w", call.Err())
	}))

	if item.GetFail().GetError().GetType() != "TIMEOUT" {
		t.Errorf("settled %v", item)
	}
}

func TestAnEventMayAskTheWorkerHowItIs(t *testing.T) {
	t.Parallel()
	server := fake.Start(t)
	asked := make(chan worker.Health, 1)
	var r *running
	ready := make(chan struct{})
	options := worker.Options{Events: worker.Events{Settled: func(worker.Settled) {
		<-ready
		asked <- r.Health()
	}}}
	r = run(t, server, options, handle("k", func(context.Context, *worker.Job) error { return nil }))
	close(ready)
	stream := server.Accept(t)
	stream.Welcome(ttl)
	stream.Deliver(job("a", "k", ""))
	stream.NextSettle()
	stream.Settled("a", 1, pb.SettleCode_SETTLE_CODE_OK, pb.JobState_JOB_STATE_COMPLETED)

	if health := receive(t, asked); health.Unsettled != 0 || !health.OK() {
		t.Errorf("health %+v", health)
	}
}

func TestAHookThatWaitsForItsContextHoldsUpNoKilledWorker(t *testing.T) {
	t.Parallel()
	server := fake.Start(t)
	called := make(chan struct{})
	r := run(t, server, worker.Options{}, func(w *worker.Worker) {
		w.Handle("k", func(context.Context, *worker.Job) error { return errors.New("wrong") },
			worker.WithOnFailed(func(ctx context.Context, _ *worker.Job, _ error) {
				close(called)
				<-ctx.Done()
			}))
	})
	stream := server.Accept(t)
	stream.Welcome(ttl)
	stream.Deliver(job("a", "k", ""))
	stream.NextSettle()
	stream.Settled("a", 1, pb.SettleCode_SETTLE_CODE_OK, pb.JobState_JOB_STATE_FAILED)
	receive(t, called)

	r.Kill()

	if exit := r.wait(); exit != worker.ExitKilled {
		t.Errorf("exit %s", exit)
	}
}

func TestAResultIsWhatItWasWhenItWasSet(t *testing.T) {
	t.Parallel()
	item := settled(t, worker.Options{}, job("a", "k", ""), handle("k", func(_ context.Context, job *worker.Job) error {
		buffer := []byte("first")
		err := job.SetResult(buffer)
		copy(buffer, "later")
		return err
	}))

	if got := string(item.GetComplete().GetResult()); got != "first" {
		t.Errorf("result %q", got)
	}
}

func TestAJobThatCannotBeSentFailsWhereItIsAskedFor(t *testing.T) {
	t.Parallel()
	item := settled(t, worker.Options{}, job("a", "k", ""), handle("k", func(_ context.Context, job *worker.Job) error {
		return job.Dispatch(protojobs.Job{Kind: "next", Labels: map[string]string{"a": "\xff"}})
	}))

	if item.GetFail() == nil || len(item.GetComplete().GetDispatch()) != 0 {
		t.Errorf("settled %v", item)
	}
}

func TestAnEnvelopeWithoutACodecFailsItsJobForGood(t *testing.T) {
	t.Parallel()
	const envelope = "\xf5PJ\x01\x03 and what follows"
	for name, read := range map[string]worker.HandlerFunc{
		"payload":    func(_ context.Context, job *worker.Job) error { _, err := job.Payload(); return err },
		"checkpoint": func(_ context.Context, job *worker.Job) error { _, err := job.Checkpoint(); return err },
	} {
		leased := job("a", "k", envelope)
		leased.Checkpoint = []byte(envelope)

		item := settled(t, worker.Options{}, leased, handle("k", read))

		told := item.GetFail()
		if told.Retryable == nil || told.GetRetryable() || !strings.HasPrefix(told.GetError().GetMessage(), "NO_CODEC") {
			t.Errorf("%s: settled %v", name, item)
		}
	}
}

func TestASessionIsResumedOnlyOnceAServerHasWelcomedIt(t *testing.T) {
	t.Parallel()
	server := fake.Start(t)
	server.FailNext("Lease", status.Error(codes.Unavailable, "not yet"))
	connected := make(chan worker.Connected, 2)
	options := worker.Options{Events: worker.Events{Connected: func(is worker.Connected) { connected <- is }}}
	run(t, server, options, handle("k", func(context.Context, *worker.Job) error { return nil }))

	first := server.Accept(t)
	first.Welcome(ttl)
	fresh := receive(t, connected)
	first.End(status.Error(codes.Unavailable, "gone"))
	server.Accept(t).Welcome(ttl)
	again := receive(t, connected)

	if fresh.Resumed || !again.Resumed || fresh.Session != again.Session {
		t.Errorf("%+v, %+v", fresh, again)
	}
}
