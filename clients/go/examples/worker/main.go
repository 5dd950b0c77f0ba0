// Command worker greets people: `go run ./examples/worker`, and ./examples/producer beside it.
package main

import (
	"context"
	"errors"
	"log"
	"os"
	"time"

	"github.com/proto-jobs/proto-jobs/clients/go/protojobs"
	"github.com/proto-jobs/proto-jobs/clients/go/protojobs/worker"
)

type person struct {
	Name string `json:"name"`
}

type greeting struct {
	Greeting string `json:"greeting"`
}

func greet(_ context.Context, job *worker.Job, who person) error {
	if who.Name == "" {
		return worker.Retry(5*time.Second, errors.New("nobody there yet"))
	}
	if err := job.Progress(0.5, "thinking"); err != nil {
		return err
	}
	return job.SetResult(greeting{"Hello " + who.Name})
}

func main() {
	server, err := protojobs.OptionsFromEnv()
	if err != nil {
		log.Fatal(err)
	}
	w := worker.New(worker.Options{Server: server, Queues: worker.Queues("greetings"), Slots: 4})
	worker.Register(w, "greet", greet, worker.WithTimeout(30*time.Second))
	reason, err := w.RunUntilSignal(context.Background())
	if err != nil {
		log.Print(err)
	}
	os.Exit(reason.Code())
}
