package worker

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"
	"unicode/utf8"

	"github.com/proto-jobs/proto-jobs/clients/go/protojobs"
)

const (
	maxWindow = 100_000
	// The jobs that a completion may bring, its result, and what is around them.
	leastMessageBytes = maxChildrenBytes + 1024*1024
)

// Queue is a queue to take jobs from. Weight is its share against the others, 1 to 1000; default 1.
type Queue struct {
	Name   string
	Weight int
}

// Queues names queues of equal weight.
func Queues(names ...string) []Queue {
	queues := make([]Queue, len(names))
	for i, name := range names {
		queues[i] = Queue{Name: name, Weight: 1}
	}
	return queues
}

// Options are every setting of a worker. The zero value reads the queue "default" of a server on this machine.
type Options struct {
	Server protojobs.Options // where the server is, the codec, and the log

	Queues []Queue // 1 to 100; default the queue "default"
	Strict bool    // a queue is served only while those before it have nothing
	Slots  int     // handlers that run at once, 1 to 100000; default 10
	Window int     // jobs delivered and not settled; default Slots and what 0.02 to 0.25 s of work need
	Name   string  // label for people; default host:pid

	SessionTTL time.Duration // how long leases outlive the last heartbeat, 2 s to 10 min; default the server's
	Grace      time.Duration // when it leaves, running handlers may finish for so long; default 30 s
	StopGrace  time.Duration // then they are cancelled and may clean up for so long; default 5 s
	StuckLimit int           // handlers that do not stop and so end the worker; default 3, at most half of the slots

	UntilEmpty  bool          // leave once nothing waits
	EmptyGrace  time.Duration // with UntilEmpty: leave after so long without a delivery, whatever the server counts; default 10 s
	MaxJobs     int           // leave after so many jobs
	MaxMemory   int64         // leave when the process has grown to so many bytes
	MaxLifetime time.Duration // leave after so long

	HealthFile     string        // exists, and is touched, while the worker is healthy
	UnhealthyAfter time.Duration // without a stream; default 120 s

	Middleware []Middleware // around every handler, the first one outermost
	Events     Events
}

func (o Options) filled() Options {
	if len(o.Queues) == 0 {
		o.Queues = Queues(protojobs.DefaultQueue)
	}
	o.Slots = cmp.Or(o.Slots, 10)
	if o.Name == "" {
		host, _ := os.Hostname()
		o.Name = fmt.Sprintf("%s:%d", host, os.Getpid())
	}
	o.Grace = cmp.Or(o.Grace, 30*time.Second)
	o.StopGrace = cmp.Or(o.StopGrace, 5*time.Second)
	o.StuckLimit = cmp.Or(o.StuckLimit, max(1, min(3, o.Slots/2)))
	o.EmptyGrace = cmp.Or(o.EmptyGrace, 10*time.Second)
	o.UnhealthyAfter = cmp.Or(o.UnhealthyAfter, 120*time.Second)
	if o.Server.Logger == nil {
		o.Server.Logger = slog.Default()
	}
	return o
}

// check returns an error for what cannot work.
func (o Options) check() error {
	if len(o.Queues) > 100 {
		return errors.New("worker: a worker reads 1 to 100 queues")
	}
	if bytes := o.Server.MaxMessageBytes; bytes != 0 && bytes < leastMessageBytes {
		return fmt.Errorf("worker: Server.MaxMessageBytes is at least %d: one outcome must fit into a frame", leastMessageBytes)
	}
	for _, queue := range o.Queues {
		if !utf8.ValidString(queue.Name) {
			return errors.New("worker: the name of a queue is not UTF-8")
		}
		if queue.Weight < 0 || queue.Weight > 1000 {
			return fmt.Errorf("worker: the weight of queue %q is not 1 to 1000", queue.Name)
		}
	}
	switch {
	case o.Slots < 1 || o.Slots > maxWindow:
		return fmt.Errorf("worker: Slots is 1 to %d", maxWindow)
	case o.Window < 0 || o.Window > maxWindow:
		return fmt.Errorf("worker: Window is 1 to %d", maxWindow)
	case o.SessionTTL != 0 && (o.SessionTTL < 2*time.Second || o.SessionTTL > 10*time.Minute):
		return errors.New("worker: SessionTTL is 2 s to 10 min")
	case o.MaxJobs < 0 || o.MaxMemory < 0 || o.MaxLifetime < 0 || o.Grace < 0 || o.StopGrace < 0:
		return errors.New("worker: bounds are not below 0")
	}
	return nil
}

// ExitReason is why a worker ended.
type ExitReason string

// Why workers end.
const (
	ExitSignal      ExitReason = "signal"       // asked to stop: everything was finished or given back
	ExitDrained     ExitReason = "drained"      // an operator drained it
	ExitEmpty       ExitReason = "empty"        // UntilEmpty
	ExitMaxJobs     ExitReason = "max_jobs"     // recycled
	ExitMaxLifetime ExitReason = "max_lifetime" // recycled
	ExitMaxMemory   ExitReason = "max_memory"   // recycled
	ExitStuck       ExitReason = "stuck"        // too many handlers do not stop: start it again
	ExitKilled      ExitReason = "killed"       // told to end at once: running handlers were given back unfinished
	ExitRefused     ExitReason = "refused"      // the server refuses this configuration or these credentials
)

// Code is the exit code of a process that ends so.
func (r ExitReason) Code() int {
	switch r {
	case ExitStuck:
		return 75 // EX_TEMPFAIL
	case ExitKilled:
		return 130
	case ExitRefused:
		return 78 // EX_CONFIG
	default:
		return 0
	}
}
