// Command producer dispatches a job, waits for its result, and dispatches another one for later.
package main

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/proto-jobs/proto-jobs/clients/go/protojobs"
)

type person struct {
	Name string `json:"name"`
}

type greeting struct {
	Greeting string `json:"greeting"`
}

func main() {
	if err := produce(context.Background()); err != nil {
		log.Fatal(err)
	}
}

func produce(ctx context.Context) error {
	options, err := protojobs.OptionsFromEnv()
	if err != nil {
		return err
	}
	client, err := protojobs.NewClient(options)
	if err != nil {
		return err
	}
	defer client.Close()

	job, err := client.Dispatch(ctx, protojobs.Job{Kind: "greet", Queue: "greetings", Data: person{"Ann"}})
	if err != nil {
		return err
	}
	wait, stop := context.WithTimeout(ctx, 30*time.Second)
	defer stop()
	var result greeting
	if err := client.Result(wait, job.JobID, &result); err != nil {
		return err
	}
	fmt.Println(result.Greeting)

	_, err = client.Dispatch(ctx, protojobs.Job{
		Kind: "greet", Queue: "greetings", Data: person{"Bob"}, Delay: time.Minute, Priority: 9,
	})
	return err
}
