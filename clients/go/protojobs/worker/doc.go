// Package worker takes jobs of some queues and runs their handlers.
//
//	w := worker.New(worker.Options{Queues: worker.Queues("greetings")})
//	worker.Register(w, "greet", func(ctx context.Context, job *worker.Job, who Person) error {
//		return job.SetResult(Greeting{"Hello " + who.Name})
//	})
//	exit, err := w.RunUntilSignal(ctx)
//
// A handler that returns nil has completed its job; one that returns an error, or panics, has failed, and the job is
// retried by its policy. Errors made by Retry, Snooze, Cancel, Discard and NonRetryable say more. Its context is
// cancelled when it should stop: context.Cause tells why (ErrJobCancelled, ErrTimeout, ErrLeaseLost, ErrShutdown).
//
// A job may run more than once: make handlers idempotent, for example by the job's id.
package worker
