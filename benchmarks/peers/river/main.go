// Program river makes and runs jobs of River for the comparison in docs/benchmarks.md: river CONFIG, a JSON object.
package main

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"os/signal"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"
	"golang.org/x/sys/unix"
)

// The slots of the worker, and so the most that it fetches at once. The completer works in batches by itself.
const maxWorkers = 2000

// River's defaults, 100 ms and 1 s, bound the throughput and leave the last jobs waiting.
const (
	fetchCooldown     = 2 * time.Millisecond
	fetchPollInterval = 50 * time.Millisecond
)

const tellEvery = 50 * time.Millisecond

type config struct {
	Role     string  `json:"role"`
	DSN      string  `json:"dsn"`
	Jobs     int64   `json:"jobs"`     // 0: as many as the seconds allow
	Seconds  float64 `json:"seconds"`  // 0: up to the jobs
	Interval float64 `json:"interval"` // above 0: one job each so many seconds, whatever became of those before
	Batch    int     `json:"batch"`
	Callers  int     `json:"callers"`
	Payload  int     `json:"payload"`
}

// noop is a job: its number, when it was meant to be sent by the monotonic clock (0: untimed), and padding.
type noop struct {
	Number int64  `json:"n"`
	Sent   int64  `json:"t"`
	Pad    string `json:"pad"`
}

func (noop) Kind() string { return "noop" }

func newNoop(number, sent int64, size int) noop {
	bare := len(fmt.Sprintf(`{"n":%d,"t":%d,"pad":""}`, number, sent))
	return noop{Number: number, Sent: sent, Pad: strings.Repeat("x", max(0, size-bare))}
}

func monotonic() int64 {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		log.Fatal(err)
	}
	return now.Nano()
}

func say(message map[string]any) {
	line, err := json.Marshal(message)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(string(line))
}

// counter is the handler: it marks each job that runs, and counts every run.
type counter struct {
	river.WorkerDefaults[noop]
	lock      sync.Mutex
	seen      []byte
	latencies [][2]int64
	runs      int64
	first     sync.Once
}

func (c *counter) Work(_ context.Context, job *river.Job[noop]) error {
	at := int64(0)
	if job.Args.Sent > 0 {
		at = monotonic()
	}
	c.first.Do(func() { say(map[string]any{"phase": "ran", "jobs": 1}) })
	c.lock.Lock()
	defer c.lock.Unlock()
	place := int(job.Args.Number / 8)
	if place >= len(c.seen) {
		c.seen = append(c.seen, make([]byte, place+1-len(c.seen))...)
	}
	c.seen[place] |= 1 << (job.Args.Number % 8)
	c.runs++
	if at > 0 {
		c.latencies = append(c.latencies, [2]int64{job.Args.Number, at - job.Args.Sent})
	}
	return nil
}

func (c *counter) ran() int64 {
	c.lock.Lock()
	defer c.lock.Unlock()
	return c.runs
}

func work(ctx context.Context, pool *pgxpool.Pool) error {
	counted := &counter{}
	workers := river.NewWorkers()
	river.AddWorker(workers, counted)
	client, err := river.NewClient(riverpgxv5.New(pool), &river.Config{
		Queues:            map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: maxWorkers}},
		Workers:           workers,
		FetchCooldown:     fetchCooldown,
		FetchPollInterval: fetchPollInterval,
	})
	if err != nil {
		return err
	}
	if err := client.Start(ctx); err != nil {
		return err
	}
	say(map[string]any{"phase": "ready"})
	stop, cancel := signal.NotifyContext(ctx, syscall.SIGTERM)
	defer cancel()
	ticks := time.NewTicker(tellEvery)
	defer ticks.Stop()
	for told := int64(0); stop.Err() == nil; {
		select {
		case <-stop.Done():
		case <-ticks.C:
			if now := counted.ran(); now != told {
				say(map[string]any{"phase": "ran", "jobs": now})
				told = now
			}
		}
	}
	if err := client.Stop(ctx); err != nil {
		return err
	}
	say(map[string]any{
		"phase": "stopped", "jobs": counted.runs, "seen": hex.EncodeToString(counted.seen), "latencies": counted.latencies,
	})
	return nil
}

func produce(ctx context.Context, pool *pgxpool.Pool, told config) error {
	client, err := river.NewClient(riverpgxv5.New(pool), &river.Config{FetchCooldown: fetchCooldown, FetchPollInterval: fetchPollInterval})
	if err != nil {
		return err
	}
	say(map[string]any{"phase": "began"})
	began := time.Now()
	if told.Interval > 0 {
		err = drip(ctx, client, told)
	} else {
		told.Jobs, err = flood(ctx, client, told)
	}
	if err != nil {
		return err
	}
	say(map[string]any{"phase": "produced", "jobs": told.Jobs, "seconds": time.Since(began).Seconds()})
	return nil
}

func flood(ctx context.Context, client *river.Client[pgx.Tx], told config) (int64, error) {
	var made atomic.Int64
	var callers sync.WaitGroup
	failed := make(chan error, told.Callers)
	began := time.Now()
	call := func() error {
		for told.Seconds == 0 || time.Since(began).Seconds() < told.Seconds {
			end := made.Add(int64(told.Batch))
			first := end - int64(told.Batch)
			if told.Jobs > 0 {
				end = min(end, told.Jobs)
			}
			if first >= end {
				return nil
			}
			if told.Batch == 1 {
				if _, err := client.Insert(ctx, newNoop(first, 0, told.Payload), nil); err != nil {
					return err
				}
				continue
			}
			batch := make([]river.InsertManyParams, 0, end-first)
			for number := first; number < end; number++ {
				batch = append(batch, river.InsertManyParams{Args: newNoop(number, 0, told.Payload)})
			}
			if _, err := client.InsertManyFast(ctx, batch); err != nil {
				return err
			}
		}
		return nil
	}
	for range told.Callers {
		callers.Go(func() {
			if err := call(); err != nil {
				failed <- err
			}
		})
	}
	callers.Wait()
	close(failed)
	jobs := made.Load()
	if told.Jobs > 0 {
		jobs = min(jobs, told.Jobs)
	}
	return jobs, <-failed
}

func drip(ctx context.Context, client *river.Client[pgx.Tx], told config) error {
	interval := int64(told.Interval * 1e9)
	start := monotonic() + interval
	var callers sync.WaitGroup
	failed := make(chan error, told.Jobs)
	for number := range told.Jobs {
		due := start + number*interval
		time.Sleep(time.Duration(due - monotonic()))
		callers.Go(func() {
			if _, err := client.Insert(ctx, newNoop(number, due, told.Payload), nil); err != nil {
				failed <- err
			}
		})
	}
	callers.Wait()
	close(failed)
	return <-failed
}

func run(ctx context.Context, told config) error {
	pool, err := pgxpool.New(ctx, told.DSN)
	if err != nil {
		return err
	}
	defer pool.Close()
	switch told.Role {
	case "migrate":
		migrator, err := rivermigrate.New(riverpgxv5.New(pool), nil)
		if err != nil {
			return err
		}
		_, err = migrator.Migrate(ctx, rivermigrate.DirectionUp, nil)
		return err
	case "work":
		return work(ctx, pool)
	default:
		return produce(ctx, pool, told)
	}
}

func main() {
	var told config
	if err := json.Unmarshal([]byte(os.Args[1]), &told); err != nil {
		log.Fatal(err)
	}
	if err := run(context.Background(), told); err != nil {
		log.Fatal(err)
	}
}
