package protojobsotel_test

import (
	"context"
	"strings"
	"testing"
	"time"

	pb "github.com/proto-jobs/proto-jobs/clients/go/gen/protojobs/v1"
	"github.com/proto-jobs/proto-jobs/clients/go/internal/fake"
	"github.com/proto-jobs/proto-jobs/clients/go/protojobs"
	"github.com/proto-jobs/proto-jobs/clients/go/protojobs/protojobsotel"
	"github.com/proto-jobs/proto-jobs/clients/go/protojobs/worker"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
)

func provider() (*sdktrace.TracerProvider, *tracetest.SpanRecorder) {
	recorder := tracetest.NewSpanRecorder()
	return sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(recorder)), recorder
}

func TestADispatchIsNamedInTheHeadersOfItsJob(t *testing.T) {
	server := fake.Start(t)
	spans, recorder := provider()
	client, err := protojobs.NewClient(protojobs.Options{
		Address: server.Address, Middleware: []protojobs.Middleware{protojobsotel.Client(protojobsotel.WithTracerProvider(spans))},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, outer := spans.Tracer("test").Start(t.Context(), "outer")

	if _, err := client.Dispatch(ctx, protojobs.Job{Kind: "k"}); err != nil {
		t.Fatal(err)
	}

	span := recorder.Ended()[0]
	header := server.Jobs()[0].GetHeaders()["traceparent"]
	if !strings.Contains(header, span.SpanContext().TraceID().String()) || !strings.Contains(header, span.SpanContext().SpanID().String()) {
		t.Errorf("header %q, span %v", header, span.SpanContext())
	}
	if span.SpanKind() != trace.SpanKindProducer || span.Parent().SpanID() != outer.SpanContext().SpanID() || span.Name() != "dispatch default" {
		t.Errorf("span %v", span)
	}
}

func TestAHandlerHasASpanThatIsLinkedToTheDispatch(t *testing.T) {
	const created = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	for name, continues := range map[string]bool{"linked": false, "continued": true} {
		t.Run(name, func(t *testing.T) {
			server := fake.Start(t)
			spans, recorder := provider()
			options := []protojobsotel.Option{protojobsotel.WithTracerProvider(spans)}
			if continues {
				options = append(options, protojobsotel.WithContinuedTraces())
			}
			w := worker.New(worker.Options{
				Server: protojobs.Options{Address: server.Address}, Middleware: []worker.Middleware{protojobsotel.Worker(options...)},
			})
			w.Handle("k", func(ctx context.Context, _ *worker.Job) error {
				trace.SpanFromContext(ctx).AddEvent("seen")
				return nil
			})
			done := make(chan struct{})
			go func() {
				defer close(done)
				_, _ = w.Run(context.Background())
			}()
			defer func() {
				w.Kill()
				<-done
			}()
			stream := server.Accept(t)
			stream.Welcome(time.Minute)
			spec := &pb.JobSpec{Id: "a", Kind: "k", Queue: "default", Headers: map[string]string{"traceparent": created}}
			stream.Deliver(&pb.LeasedJob{JobId: "a", Attempt: 1, Spec: spec})
			stream.NextSettle()

			span := recorder.Ended()[0]
			traced := span.SpanContext().TraceID().String() == "0af7651916cd43dd8448eb211c80319c"
			linked := len(span.Links()) == 1 && span.Links()[0].SpanContext.SpanID().String() == "b7ad6b7169203331"
			if traced != continues || linked == continues || len(span.Events()) != 1 || span.SpanKind() != trace.SpanKindConsumer {
				t.Errorf("trace %s, links %v, events %v", span.SpanContext().TraceID(), span.Links(), span.Events())
			}
		})
	}
}
