package worker

import (
	"testing"
	"time"
)

// countedMailbox is a mailbox whose moment does not pass, and how often it has woken its session.
func countedMailbox() (*mailbox, *int) {
	wakes := 0
	return &mailbox{wake: func() { wakes++ }, gather: time.Hour}, &wakes
}

func TestTheLastHandlerToEndWakesTheSessionForAllThatHaveEndedWithIt(t *testing.T) {
	t.Parallel()
	box, wakes := countedMailbox()
	box.expect(3)

	box.postEnd(&run{}, completed)
	box.postEnd(&run{}, completed)
	if *wakes != 0 {
		t.Errorf("woken while a handler runs that may end in the same moment")
	}
	box.postEnd(&run{}, completed)

	if ended, _ := box.collect(); *wakes != 1 || len(ended) != 3 {
		t.Errorf("woken %d times for %d ends", *wakes, len(ended))
	}
}

func TestManyEndsWakeTheSessionHoweverManyHandlersRun(t *testing.T) {
	t.Parallel()
	box, wakes := countedMailbox()
	box.expect(2 * gatherMost)

	for range gatherMost {
		box.postEnd(&run{}, completed)
	}

	if *wakes != 1 {
		t.Errorf("woken %d times", *wakes)
	}
}

func TestAHandlerThatDoesNotRunAfterAllHoldsUpNoOther(t *testing.T) {
	t.Parallel()
	box, wakes := countedMailbox()
	box.expect(2)
	box.postEnd(&run{}, completed)

	box.skip()

	if *wakes != 1 {
		t.Errorf("woken %d times", *wakes)
	}
}

func TestAnEndBesideHandlersThatRunOnWakesTheSessionInAMoment(t *testing.T) {
	t.Parallel()
	woken := make(chan struct{}, 10)
	box := &mailbox{wake: func() { woken <- struct{}{} }, gather: time.Millisecond}
	box.expect(2)

	for range 2 { // the timer is used again
		box.expect(1)
		box.postEnd(&run{}, completed)
		<-woken
		box.collect()
	}
}
