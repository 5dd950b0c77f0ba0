package worker

import (
	"context"
	"log/slog"
	"testing"

	pb "github.com/proto-jobs/proto-jobs/clients/go/gen/protojobs/v1"
	"github.com/proto-jobs/proto-jobs/clients/go/internal/fake"
	"github.com/proto-jobs/proto-jobs/clients/go/protojobs"
)

func TestAWorkerThatHasNothingLeftIsOverWhenTheServerEndsItsStream(t *testing.T) {
	t.Parallel()
	server := fake.Start(t)
	options := Options{Server: protojobs.Options{Address: server.Address, Logger: slog.New(slog.DiscardHandler)}}.filled()
	conn, err := options.Server.Dial()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	s := newSession(context.Background(), options, map[string]*handler{}, pb.NewWorkerServiceClient(conn))
	s.leave(ExitSignal)
	lived := make(chan struct{})
	go func() {
		defer close(lived)
		s.oneStream()
	}()

	server.Accept(t).End(nil)
	<-lived

	select {
	case <-s.over:
	default:
		t.Error("it would open another stream")
	}
}
