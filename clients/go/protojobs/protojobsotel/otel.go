// Package protojobsotel follows jobs through traces of OpenTelemetry, by its messaging conventions.
//
//	client, err := protojobs.NewClient(protojobs.Options{Middleware: []protojobs.Middleware{protojobsotel.Client()}})
//	w := worker.New(worker.Options{Middleware: []worker.Middleware{protojobsotel.Worker()}})
//
// Dispatches get a span of kind PRODUCER, whose W3C trace context travels in the headers of their jobs; handlers get one
// of kind CONSUMER, linked to it. For spans of the calls themselves give protojobs.Options.DialOptions the stats handler
// of otelgrpc.
package protojobsotel

import (
	"cmp"
	"context"
	"errors"
	"maps"

	"github.com/proto-jobs/proto-jobs/clients/go/protojobs"
	"github.com/proto-jobs/proto-jobs/clients/go/protojobs/worker"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	otelcodes "go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

const scope = "github.com/proto-jobs/proto-jobs/clients/go/protojobs/protojobsotel"

// Names of the messaging conventions, and ours.
const (
	system      = attribute.Key("messaging.system")
	operation   = attribute.Key("messaging.operation.name")
	kindOf      = attribute.Key("messaging.operation.type")
	destination = attribute.Key("messaging.destination.name")
	messageID   = attribute.Key("messaging.message.id")
	batchCount  = attribute.Key("messaging.batch.message_count")
	errorType   = attribute.Key("error.type")
	jobKind     = attribute.Key("protojobs.kind")
	jobAttempt  = attribute.Key("protojobs.attempt")
)

// Option changes where spans go.
type Option func(*settings)

type settings struct {
	provider   trace.TracerProvider
	propagator propagation.TextMapPropagator
	continues  bool
}

// WithTracerProvider sends spans there instead of to the global provider.
func WithTracerProvider(provider trace.TracerProvider) Option {
	return func(s *settings) { s.provider = provider }
}

// WithPropagator writes and reads headers so, instead of by W3C Trace Context.
func WithPropagator(propagator propagation.TextMapPropagator) Option {
	return func(s *settings) { s.propagator = propagator }
}

// WithContinuedTraces lets a handler's span continue the trace of its dispatch, instead of beginning one that links to it.
func WithContinuedTraces() Option {
	return func(s *settings) { s.continues = true }
}

func settingsOf(options []Option) (settings, trace.Tracer) {
	made := settings{provider: otel.GetTracerProvider(), propagator: propagation.TraceContext{}}
	for _, option := range options {
		option(&made)
	}
	return made, made.provider.Tracer(scope, trace.WithInstrumentationVersion(protojobs.Version))
}

// Client returns the middleware of a client: a span for each dispatch, named in the headers of its jobs. A job that has a
// traceparent of its own keeps it.
func Client(options ...Option) protojobs.Middleware {
	made, tracer := settingsOf(options)
	return func(next protojobs.DispatchFunc) protojobs.DispatchFunc {
		return func(ctx context.Context, jobs []protojobs.Job) ([]protojobs.Result, error) {
			ctx, span := tracer.Start(ctx, name("dispatch", jobs), trace.WithSpanKind(trace.SpanKindProducer),
				trace.WithAttributes(attributesOf(jobs)...))
			defer span.End()
			for i := range jobs {
				jobs[i].Headers = made.inject(ctx, jobs[i].Headers)
			}
			results, err := next(ctx, jobs)
			if err == nil && len(results) == 1 {
				mark(span, results[0].Err)
			}
			mark(span, err)
			return results, err
		}
	}
}

// Worker returns the middleware of a worker: a span around each handler. Its context is that of the handler, so what the
// handler starts or dispatches belongs to it.
func Worker(options ...Option) worker.Middleware {
	made, tracer := settingsOf(options)
	return func(next worker.HandlerFunc) worker.HandlerFunc {
		return func(ctx context.Context, job *worker.Job) error {
			start := []trace.SpanStartOption{
				trace.WithSpanKind(trace.SpanKindConsumer),
				trace.WithAttributes(system.String("protojobs"), operation.String("process"), kindOf.String("process"),
					destination.String(job.Queue()), messageID.String(job.ID()), jobKind.String(job.Kind()), jobAttempt.Int(job.Attempt())),
			}
			origin := made.propagator.Extract(context.Background(), propagation.MapCarrier(job.Headers()))
			created := trace.SpanContextFromContext(origin)
			if made.continues {
				ctx = trace.ContextWithRemoteSpanContext(ctx, created)
			} else {
				start = append(start, trace.WithNewRoot())
				if created.IsValid() {
					start = append(start, trace.WithLinks(trace.Link{SpanContext: created}))
				}
			}
			ctx, span := tracer.Start(ctx, "process "+job.Queue(), start...)
			defer span.End()
			err := next(ctx, job)
			mark(span, err)
			return err
		}
	}
}

func (s settings) inject(ctx context.Context, headers map[string]string) map[string]string {
	if _, has := headers["traceparent"]; has {
		return headers
	}
	carrier := propagation.MapCarrier(maps.Clone(headers))
	if carrier == nil {
		carrier = propagation.MapCarrier{}
	}
	s.propagator.Inject(ctx, carrier)
	return carrier
}

func name(what string, jobs []protojobs.Job) string {
	if queue, one := queueOf(jobs); one {
		return what + " " + queue
	}
	return what
}

// queueOf returns the queue of the jobs; false where they have several.
func queueOf(jobs []protojobs.Job) (string, bool) {
	first := cmp.Or(jobs[0].Queue, protojobs.DefaultQueue)
	for _, job := range jobs {
		if cmp.Or(job.Queue, protojobs.DefaultQueue) != first {
			return "", false
		}
	}
	return first, true
}

func attributesOf(jobs []protojobs.Job) []attribute.KeyValue {
	found := []attribute.KeyValue{system.String("protojobs"), operation.String("dispatch"), kindOf.String("send")}
	if queue, one := queueOf(jobs); one {
		found = append(found, destination.String(queue))
	}
	if len(jobs) == 1 {
		return append(found, jobKind.String(jobs[0].Kind), messageID.String(jobs[0].ID))
	}
	return append(found, batchCount.Int(len(jobs)))
}

func mark(span trace.Span, err error) {
	if err == nil {
		return
	}
	kind := "error"
	var told *protojobs.Error
	if errors.As(err, &told) {
		kind = cmp.Or(told.Reason, told.Code.String())
	}
	span.SetAttributes(errorType.String(kind))
	span.SetStatus(otelcodes.Error, "")
}
