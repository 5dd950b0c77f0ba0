package worker

import (
	"testing"
	"time"

	pb "github.com/proto-jobs/proto-jobs/clients/go/gen/protojobs/v1"
)

func leased(id string, attempt uint32) *pb.LeasedJob {
	return &pb.LeasedJob{JobId: id, Attempt: attempt, Spec: &pb.JobSpec{Id: id, Kind: "k", Queue: "default"}}
}

func ids(leases []*lease) string {
	text := ""
	for _, each := range leases {
		text += each.id
	}
	return text
}

func newTestLedger(jobs ...*pb.LeasedJob) *ledger {
	l := newLedger()
	l.openStream(1)
	l.deliver(jobs)
	return l
}

func TestHandlersBeginInTheOrderOfDelivery(t *testing.T) {
	l := newTestLedger(leased("a", 1), leased("b", 1), leased("c", 1))

	first, second := l.begin(2, time.Now()), l.begin(2, time.Now())

	if ids(first) != "ab" || ids(second) != "c" || l.begun != 3 || l.running != 3 {
		t.Errorf("%s, %s, begun %d, running %d", ids(first), ids(second), l.begun, l.running)
	}
}

func TestARepeatedDeliveryTakesAPlaceAndDoesNotRun(t *testing.T) {
	l := newTestLedger(leased("a", 1), leased("a", 1), leased("b", 1))

	begun := l.begin(10, time.Now())

	if ids(begun) != "ab" || l.begun != 3 {
		t.Errorf("%s, begun %d", ids(begun), l.begun)
	}
}

func TestANewerAttemptStopsTheOlderOneWhoseOutcomeIsDropped(t *testing.T) {
	l := newTestLedger(leased("a", 1))
	old := l.begin(1, time.Now())[0]

	superseded := l.deliver([]*pb.LeasedJob{leased("a", 2)})

	if ids(superseded) != "a" || l.end(old, completed) || len(l.takeUnsent(10, 1000)) != 0 {
		t.Errorf("superseded %s, state %d", ids(superseded), old.state)
	}
	if begun := l.begin(1, time.Now()); ids(begun) != "a" || begun[0].attempt != 2 {
		t.Errorf("the newer attempt does not begin: %v", begun)
	}
}

func TestAnOutcomeIsSentOnEveryStreamUntilItIsAnswered(t *testing.T) {
	l := newTestLedger(leased("a", 1))
	l.end(l.begin(1, time.Now())[0], completed)

	for stream := uint64(2); stream < 5; stream++ {
		if sent := l.takeUnsent(10, 1000); ids(sent) != "a" {
			t.Fatalf("sent %q", ids(sent))
		}
		if again := l.takeUnsent(10, 1000); len(again) != 0 {
			t.Fatalf("sent twice on one stream: %q", ids(again))
		}
		l.openStream(stream)
	}
	l.settled(l.find("a", 1))
	l.openStream(9)

	if sent := l.takeUnsent(10, 1000); len(sent) != 0 || len(l.held) != 0 {
		t.Errorf("sent %q after its answer", ids(sent))
	}
}

func TestWhatTheServerHasNotKeptIsStoppedButForOutcomes(t *testing.T) {
	l := newTestLedger(leased("a", 1), leased("b", 1), leased("c", 1), leased("d", 1))
	begun := l.begin(3, time.Now())
	l.end(begun[0], completed)
	l.openStream(2)

	lost := l.resume([]*pb.LeaseRef{{JobId: "b", Attempt: 1}})

	if ids(lost) != "c" || l.find("a", 1) == nil || l.find("b", 1) == nil || l.find("d", 1) != nil {
		t.Errorf("lost %q, held %d", ids(lost), len(l.held))
	}
	if sent := l.takeUnsent(10, 1000); ids(sent) != "a" {
		t.Errorf("sent %q", ids(sent))
	}
	if begun := l.begin(10, time.Now()); len(begun) != 0 || l.begun != 0 {
		t.Errorf("begun %q of the old stream, counted %d", ids(begun), l.begun)
	}
}

func TestPutBackLetsTheSameJobsBeginInTheSameOrder(t *testing.T) {
	l := newTestLedger(leased("a", 1), leased("b", 1), leased("c", 1))

	l.putBack(l.begin(2, time.Now()))
	l.openStream(2)

	if begun := l.begin(10, time.Now()); ids(begun) != "abc" || l.running != 3 || l.inLine != 0 {
		t.Errorf("begun %q, running %d, in line %d", ids(begun), l.running, l.inLine)
	}
}

func TestAWaitingJobThatIsCancelledKeepsItsPlaceAndNeverRuns(t *testing.T) {
	l := newTestLedger(leased("a", 1), leased("b", 1))

	stop := l.cancel("a", 1, &outcome{kind: OutcomeCancelled})
	begun := l.begin(10, time.Now())

	if stop != nil || ids(begun) != "b" || l.begun != 2 {
		t.Errorf("begun %q, counted %d", ids(begun), l.begun)
	}
	if sent := l.takeUnsent(10, 1000); ids(sent) != "a" || sent[0].outcome.kind != OutcomeCancelled {
		t.Errorf("sent %q", ids(sent))
	}
}

func TestARefusedOutcomeBecomesAPlainFailureAndIsGivenUpInTheEnd(t *testing.T) {
	l := newTestLedger(leased("a", 1))
	each := l.begin(1, time.Now())[0]
	l.end(each, &outcome{kind: OutcomeSnooze, delay: -1})
	l.takeUnsent(10, 1000)

	first := l.refuse(each, "delay is below 0")
	kind := each.outcome.failure.GetType()
	second, third := l.refuse(each, "?"), l.refuse(each, "?")

	if !first || kind != "INVALID_OUTCOME" || !second || third || len(l.held) != 0 {
		t.Errorf("%t %s %t %t", first, kind, second, third)
	}
}

func TestADelayedOutcomeGoesOutAgainWhenItIsDue(t *testing.T) {
	l := newTestLedger(leased("a", 1))
	each := l.begin(1, time.Now())[0]
	l.end(each, completed)
	l.takeUnsent(10, 1000)
	due := time.Now()
	l.retryLater(each, due)

	early := l.revive(due.Add(-time.Second))
	late := l.revive(due)

	if early || !late || ids(l.takeUnsent(10, 1000)) != "a" {
		t.Errorf("early %t, late %t", early, late)
	}
}

func TestAFrameOfOutcomesIsBoundedInBytesButNeverEmpty(t *testing.T) {
	l := newTestLedger(leased("a", 1), leased("b", 1))
	for _, each := range l.begin(2, time.Now()) {
		l.end(each, &outcome{kind: OutcomeComplete, result: make([]byte, 5000)})
	}

	first, second := l.takeUnsent(10, 1000), l.takeUnsent(10, 1000)

	if ids(first) != "a" || ids(second) != "b" {
		t.Errorf("frames %q, %q", ids(first), ids(second))
	}
}

func TestAQueueKeepsItsOrderOverManyTurns(t *testing.T) {
	var q queue[int]
	next := 0
	for i := range 10_000 {
		q.push(i)
		if i%3 > 0 {
			if got := q.pop(); got != next {
				t.Fatalf("got %d, not %d", got, next)
			}
			next++
		}
	}
	q.pushFront([]int{-2, -1})

	if q.pop() != -2 || q.pop() != -1 || q.pop() != next {
		t.Error("what was put in front does not come first")
	}
}

func TestPrefetchGrowsByNeedAndSlowHandlersGetNone(t *testing.T) {
	fast, slow := newPrefetch(10), newPrefetch(10)

	for range 20 {
		fast.observe(10_000, 10, 0.25, true)
		slow.observe(0, 10, 0.25, false)
	}

	if fast.jobs < 5_000 || slow.jobs != 0 {
		t.Errorf("fast %d, slow %d", fast.jobs, slow.jobs)
	}
}

func TestSlotsStandIdleFromWhenNothingIsLeftUntilSomethingComes(t *testing.T) {
	at := func(seconds float64) time.Time {
		return time.Unix(0, 0).Add(time.Duration(seconds * float64(time.Second)))
	}
	var dry dryness

	dry.ranDry(at(1))
	dry.ranDry(at(1.5))
	dry.refilled(at(2))
	dry.refilled(at(3))
	dry.ranDry(at(4))

	if got := dry.take(at(4.5)); got != 1500*time.Millisecond {
		t.Errorf("idle for %v", got)
	}
	if got := dry.take(at(5)); got != 500*time.Millisecond {
		t.Errorf("idle for %v more", got)
	}
	dry.refilled(at(5))
	if got := dry.take(at(6)); got != 0 {
		t.Errorf("idle for %v with something to begin", got)
	}
}

func TestTextIsCutBetweenCharacters(t *testing.T) {
	if got := cut("žluť", 2); got != "ž" {
		t.Errorf("cut to %q", got)
	}
	if got := cut("žluť", 1); got != "" {
		t.Errorf("cut to %q", got)
	}
	if got := cut("a\xffb", 10); got != "a?b" {
		t.Errorf("cut to %q", got)
	}
}
