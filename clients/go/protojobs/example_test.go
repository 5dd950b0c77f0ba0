package protojobs_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/proto-jobs/proto-jobs/clients/go/protojobs"
)

type email struct {
	To string `json:"to"`
}

func ExampleClient_Dispatch() {
	ctx := context.Background()
	client, err := protojobs.NewClient(protojobs.Options{Address: "127.0.0.1:50051"})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()

	job, err := client.Dispatch(ctx, protojobs.Job{
		Kind: "send_email", Queue: "emails", Data: email{"ann@example.com"},
		Delay: time.Minute, Retry: protojobs.Retries(5), Unique: &protojobs.Unique{Key: "welcome ann"},
	})
	var told *protojobs.Error
	switch {
	case errors.Is(err, protojobs.ErrDuplicateJob) && errors.As(err, &told):
		fmt.Println("already there:", told.JobID())
	case err != nil:
		log.Fatal(err)
	default:
		fmt.Println(job.JobID)
	}
}

func ExampleClient_Result() {
	client, err := protojobs.NewClient(protojobs.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	ctx, stop := context.WithTimeout(context.Background(), 30*time.Second)
	defer stop()

	var sum int
	var ended *protojobs.JobEndedError
	err = client.Result(ctx, "0199a0b4-7c1e-7aaa-8000-000000000000", &sum)
	switch {
	case errors.As(err, &ended):
		fmt.Println("it ended as", ended.Job.State)
	case errors.Is(err, context.DeadlineExceeded):
		fmt.Println("it goes on")
	case err == nil:
		fmt.Println(sum)
	}
}

func ExampleClient_List() {
	client, err := protojobs.NewClient(protojobs.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()

	filter := protojobs.JobFilter{Expression: "queue = mail and state in (failed, cancelled)"}
	for job, err := range client.List(context.Background(), filter) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(job.ID, job.State)
	}
}

func ExampleClient_Schedule() {
	client, err := protojobs.NewClient(protojobs.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()

	stored, err := client.Schedule(context.Background(), protojobs.Schedule{
		Name: "report", Job: protojobs.Job{Kind: "report"}, When: protojobs.Daily("06:30"), TimeZone: "Europe/Prague",
		Overlap: protojobs.OverlapSkip,
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(stored.NextAt)
}

func ExampleClient_Listen() {
	client, err := protojobs.NewClient(protojobs.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()

	filter := protojobs.WatchOptions{Filter: protojobs.JobFilter{Queues: []string{"mail"}}}
	err = client.Listen(context.Background(), protojobs.EventFailed, filter, func(_ context.Context, event protojobs.JobEvent) error {
		fmt.Println(event.JobID, event.Job.Error)
		return nil
	})
	if err != nil {
		log.Fatal(err)
	}
}
