package worker

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	pb "github.com/proto-jobs/proto-jobs/clients/go/gen/protojobs/v1"
)

// Worker takes jobs of some queues and runs their handlers. Make one by New, give it handlers by Register, and run it
// once.
type Worker struct {
	options Options

	mu       sync.Mutex
	handlers map[string]*handler
	session  *session
}

// New describes a worker; nothing connects before Run.
func New(options Options) *Worker {
	return &Worker{options: options.filled(), handlers: map[string]*handler{}}
}

// Run serves until the worker ends, and returns why. The end of the context is a wish to stop: running handlers may
// finish for Grace, then they are cancelled for StopGrace, then their jobs go back.
//
// Fails at once for options that cannot work and files that cannot be read, and with ExitRefused where the server refuses
// this configuration or these credentials. A lost server is no error: it tries for ever.
func (w *Worker) Run(ctx context.Context) (ExitReason, error) {
	if err := w.options.check(); err != nil {
		return ExitRefused, err
	}
	if len(w.handlers) == 0 {
		return ExitRefused, errors.New("worker: there is no handler")
	}
	conn, err := w.options.Server.Dial()
	if err != nil {
		return ExitRefused, err
	}
	defer conn.Close()
	// Values come along; the end of the context asks the worker to leave, and not each handler to stop.
	base, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	s, err := w.begin(newSession(base, w.options, w.handlers, pb.NewWorkerServiceClient(conn)))
	if err != nil {
		return ExitRefused, err
	}
	defer context.AfterFunc(ctx, func() { s.leave(ExitSignal) })()
	began := time.Now()
	var beside sync.WaitGroup
	beside.Go(s.upkeep)
	beside.Go(func() { s.rules(began) })
	if w.options.UntilEmpty {
		beside.Go(func() { s.untilEmpty(pb.NewQueueServiceClient(conn)) })
	}
	if w.options.Server.TokenFile != "" {
		beside.Go(s.watchToken)
	}
	s.run()
	beside.Wait()
	s.finishHooks(cancel)
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.leaving.exit, s.refusal
}

func (w *Worker) begin(s *session) (*session, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.session != nil {
		return nil, errors.New("worker: this worker has run already")
	}
	w.session = s
	return s, nil
}

// RunUntilSignal is Run for a process of its own: SIGTERM and SIGINT ask it to stop, and a second one gives everything
// back at once. Exit with the code of the reason.
func (w *Worker) RunUntilSignal(ctx context.Context) (ExitReason, error) {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	done := make(chan struct{})
	defer close(done)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGTERM, os.Interrupt)
	defer signal.Stop(signals)
	go func() {
		for ask := func() { stop() }; ; ask = w.Kill {
			select {
			case number := <-signals:
				w.options.Server.Logger.Info("signal", "signal", number.String())
				ask()
			case <-done:
				return
			}
		}
	}()
	return w.Run(ctx)
}

// Stop asks the worker to leave, as the end of Run's context does. It returns at once.
func (w *Worker) Stop() {
	w.ask(func(s *session) { s.leave(ExitSignal) })
}

// Kill gives everything back now and ends. It returns at once.
func (w *Worker) Kill() {
	w.ask(func(s *session) {
		s.leave(ExitSignal)
		s.leave(ExitKilled)
	})
}

// Quiet takes no more jobs, and gives back what has not begun. It returns at once.
func (w *Worker) Quiet() {
	w.ask(func(s *session) {
		s.mu.Lock()
		defer s.unlock()
		s.leaving.quiet()
	})
}

// ask never waits for the session: also its own events may ask.
func (w *Worker) ask(action func(*session)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.session != nil {
		go action(w.session)
	}
}

// Health tells how the worker is; the zero value before Run.
func (w *Worker) Health() Health {
	w.mu.Lock()
	s := w.session
	w.mu.Unlock()
	if s == nil {
		return Health{}
	}
	return s.health()
}

// Processed counts the handlers that have ended.
func (w *Worker) Processed() int {
	w.mu.Lock()
	s := w.session
	w.mu.Unlock()
	if s == nil {
		return 0
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.holding.ended
}
