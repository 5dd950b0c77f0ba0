// Command interop is this client as the tests of all clients together drive it: one JSON object a line on standard output,
// logs on standard error. It ends with 0 where all went well, 2 for wrong usage, 1 otherwise.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"sync"

	"github.com/proto-jobs/proto-jobs/clients/go/protojobs"
)

const usage = "usage: interop dispatch|get|cancel|retry|failed|stats|schedule|watch|work|vectors [flags]"

var commands = map[string]func(context.Context, []string) error{
	"dispatch": dispatch,
	"get":      get,
	"cancel":   cancel,
	"retry":    retry,
	"failed":   failed,
	"stats":    stats,
	"schedule": schedule,
	"watch":    watch,
	"work":     work,
	"vectors":  vectors,
}

func main() {
	slog.SetDefault(slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug})))
	if len(os.Args) < 2 || commands[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, usage)
		os.Exit(2)
	}
	err := commands[os.Args[1]](context.Background(), os.Args[2:])
	var ended exitError
	switch {
	case err == nil:
	case errors.As(err, &ended):
		os.Exit(int(ended))
	default:
		emitError(err)
		os.Exit(1)
	}
}

// exitError ends the program without another word.
type exitError int

func (e exitError) Error() string { return fmt.Sprintf("exit code %d", int(e)) }

// flags are those that every command has.
type flags struct {
	*flag.FlagSet
	addr  string
	queue string
	jobID string
	n     int
}

func newFlags(name string) *flags {
	f := &flags{FlagSet: flag.NewFlagSet(name, flag.ContinueOnError)}
	f.StringVar(&f.addr, "addr", "", "host:port of the server; default PROTOJOBS_ADDRESS")
	f.StringVar(&f.queue, "queue", protojobs.DefaultQueue, "name of the queue")
	f.StringVar(&f.jobID, "job-id", "", "id of the job")
	f.IntVar(&f.n, "n", 1, "how many")
	f.Bool("json", true, "accepted; the output is always JSON")
	return f
}

// quiet adds the flag of commands that would tell of many jobs.
func (f *flags) quiet() *bool { return f.Bool("quiet", false, "say nothing of single jobs") }

func (f *flags) read(arguments []string) error {
	if err := f.Parse(arguments); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return exitError(0)
		}
		return exitError(2)
	}
	if f.NArg() > 0 {
		fmt.Fprintln(os.Stderr, usage)
		return exitError(2)
	}
	return nil
}

func (f *flags) options() (protojobs.Options, error) {
	options, err := protojobs.OptionsFromEnv()
	if f.addr != "" {
		options.Address = f.addr
	}
	return options, err
}

// client makes a client of the flags; unary says that each dispatch is a call of its own.
func (f *flags) client(unary bool) (*protojobs.Client, error) {
	options, err := f.options()
	if err != nil {
		return nil, err
	}
	options.Unary = unary
	return protojobs.NewClient(options)
}

type line map[string]any

var printing sync.Mutex

func emit(event string, values line) {
	values["event"] = event
	text, err := json.Marshal(values)
	if err != nil {
		slog.Error("a line cannot be written", "error", err)
		return
	}
	printing.Lock()
	defer printing.Unlock()
	_, _ = os.Stdout.Write(append(text, '\n'))
}

func emitError(err error) {
	values := line{"code": "UNKNOWN", "reason": "", "fields": []string{}, "message": err.Error()}
	var told *protojobs.Error
	if errors.As(err, &told) {
		fields := []string{}
		for _, violation := range told.Violations {
			fields = append(fields, violation.Field)
		}
		values["code"], values["reason"], values["message"] = codeName(told.Code), told.Reason, told.Message
		values["fields"] = fields
	}
	emit("error", values)
}
