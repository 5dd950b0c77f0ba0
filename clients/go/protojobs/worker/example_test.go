package worker_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"time"

	"github.com/proto-jobs/proto-jobs/clients/go/protojobs"
	"github.com/proto-jobs/proto-jobs/clients/go/protojobs/worker"
)

type picture struct {
	URL string `json:"url"`
}

var errBadPicture = errors.New("this is no picture")

func resize(context.Context, picture) (int, error) { return 0, errBadPicture }

func ExampleRegister() {
	server, err := protojobs.OptionsFromEnv()
	if err != nil {
		log.Fatal(err)
	}
	w := worker.New(worker.Options{Server: server, Queues: []worker.Queue{{Name: "urgent", Weight: 5}, {Name: "pictures", Weight: 1}}})

	worker.Register(w, "resize", func(ctx context.Context, job *worker.Job, what picture) error {
		size, err := resize(ctx, what)
		if errors.Is(err, errBadPicture) {
			return worker.NonRetryable(err)
		}
		if err != nil {
			return err
		}
		if err := job.Dispatch(protojobs.Job{Kind: "tell", Queue: "mail"}); err != nil {
			return err
		}
		return job.SetResult(size)
	}, worker.WithTimeout(time.Minute))

	reason, err := w.RunUntilSignal(context.Background())
	if err != nil {
		log.Print(err)
	}
	os.Exit(reason.Code())
}

func ExampleJob_SaveCheckpoint() {
	w := worker.New(worker.Options{})

	w.Handle("import", func(ctx context.Context, job *worker.Job) error {
		from := 0
		saved, err := job.Checkpoint()
		if err != nil {
			return err
		}
		if saved != nil {
			if _, err := fmt.Sscan(string(saved), &from); err != nil {
				return err
			}
		}
		for row := from; row < 1000 && ctx.Err() == nil; row++ {
			if err := job.SaveCheckpoint(fmt.Append(nil, row+1)); err != nil {
				return err
			}
		}
		return ctx.Err()
	})
}
