package fake

import (
	"context"

	pb "github.com/proto-jobs/proto-jobs/clients/go/gen/protojobs/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// store stores one spec, or tells why not.
func (s *Server) store(spec *pb.JobSpec) (pb.DispatchOutcome, error) {
	if s.Refuse != nil {
		if err := s.Refuse(spec); err != nil {
			return 0, err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if known := s.jobs[spec.GetId()]; known != nil {
		if !proto.Equal(known, spec) {
			return 0, Error(codes.AlreadyExists, "JOB_ID_REUSED", "the id was used for another body")
		}
		return pb.DispatchOutcome_DISPATCH_OUTCOME_EXISTING, nil
	}
	s.jobs[spec.GetId()] = spec
	s.order = append(s.order, spec.GetId())
	return pb.DispatchOutcome_DISPATCH_OUTCOME_CREATED, nil
}

// Dispatch stores one job.
func (s *Server) Dispatch(_ context.Context, request *pb.DispatchRequest) (*pb.DispatchResponse, error) {
	outcome, err := s.store(request.GetSpec())
	if err != nil {
		return nil, err
	}
	return &pb.DispatchResponse{JobId: request.GetSpec().GetId(), Outcome: outcome, State: pb.JobState_JOB_STATE_PENDING}, nil
}

// DispatchBatch stores many jobs.
func (s *Server) DispatchBatch(_ context.Context, request *pb.DispatchBatchRequest) (*pb.DispatchBatchResponse, error) {
	answer := &pb.DispatchBatchResponse{}
	for _, spec := range request.GetSpecs() {
		result := s.result(spec)
		if request.GetAtomic() && result.GetError() != nil {
			return nil, status.ErrorProto(result.GetError())
		}
		answer.Results = append(answer.Results, result)
	}
	return answer, nil
}

func (s *Server) result(spec *pb.JobSpec) *pb.DispatchResult {
	outcome, err := s.store(spec)
	result := &pb.DispatchResult{JobId: spec.GetId(), Result: &pb.DispatchResult_Outcome{Outcome: outcome}}
	if err != nil {
		result.Result = &pb.DispatchResult_Error{Error: status.Convert(err).Proto()}
	}
	return result
}

// DispatchStream stores jobs from frames. The failures of "ack" end the stream after the frame is stored, unacknowledged.
func (s *Server) DispatchStream(stream grpc.BidiStreamingServer[pb.DispatchStreamRequest, pb.DispatchStreamResponse]) error {
	if err := stream.Send(&pb.DispatchStreamResponse{Window: 10_000}); err != nil {
		return err
	}
	for {
		frame, err := stream.Recv()
		if err != nil {
			return nil
		}
		answer := &pb.DispatchStreamResponse{UpToSeq: frame.GetSeq(), Window: 10_000}
		for i, spec := range frame.GetSpecs() {
			result := s.result(spec)
			if result.GetError() != nil || result.GetOutcome() != pb.DispatchOutcome_DISPATCH_OUTCOME_CREATED {
				told := &pb.DispatchStreamResult{Seq: frame.GetSeq(), Index: uint32(i), Result: result}
				answer.Results = append(answer.Results, told)
			}
		}
		s.mu.Lock()
		s.frames++
		var failure error
		if waiting := s.failures["ack"]; len(waiting) > 0 {
			s.failures["ack"], failure = waiting[1:], waiting[0]
		}
		s.mu.Unlock()
		if failure != nil {
			return failure
		}
		if err := stream.Send(answer); err != nil {
			return err
		}
	}
}

// GetJob returns a job that is PENDING, as long as it is stored.
func (s *Server) GetJob(_ context.Context, request *pb.GetJobRequest) (*pb.GetJobResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	spec := s.jobs[request.GetJobId()]
	if spec == nil {
		return nil, Error(codes.NotFound, "JOB_NOT_FOUND", "no such job")
	}
	return &pb.GetJobResponse{Job: &pb.Job{Id: spec.GetId(), Spec: spec, State: pb.JobState_JOB_STATE_PENDING}}, nil
}

// ListJobs returns what is stored, one job a page.
func (s *Server) ListJobs(_ context.Context, request *pb.ListJobsRequest) (*pb.ListJobsResponse, error) {
	jobs := s.Jobs()
	place := len(request.GetPageToken())
	if place >= len(jobs) {
		return &pb.ListJobsResponse{}, nil
	}
	answer := &pb.ListJobsResponse{Jobs: []*pb.Job{{Id: jobs[place].GetId(), Spec: jobs[place]}}}
	if place+1 < len(jobs) {
		answer.NextPageToken = request.GetPageToken() + "x"
	}
	return answer, nil
}

// Watch sets what WatchJobs streams: each stream sends one answer and ends.
func (s *Server) Watch(answers ...*pb.WatchJobsResponse) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.events = answers
}

// Cursors lists where watches began.
func (s *Server) Cursors() [][]byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([][]byte(nil), s.cursors...)
}

// WatchJobs sends the next answer of Watch; without one it stays silent.
func (s *Server) WatchJobs(request *pb.WatchJobsRequest, stream grpc.ServerStreamingServer[pb.WatchJobsResponse]) error {
	s.mu.Lock()
	s.cursors = append(s.cursors, request.GetCursor())
	var answer *pb.WatchJobsResponse
	if len(s.events) > 0 {
		answer, s.events = s.events[0], s.events[1:]
	}
	s.mu.Unlock()
	if answer == nil {
		<-stream.Context().Done()
		return nil
	}
	return stream.Send(answer)
}

// SetPending sets what Stats counts as PENDING.
func (s *Server) SetPending(count uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pending = count
}

// Stats counts the queue "default".
func (s *Server) Stats(context.Context, *pb.StatsRequest) (*pb.StatsResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	counts := &pb.StateCounts{Pending: s.pending}
	return &pb.StatsResponse{Queues: []*pb.QueueStats{{Queue: "default", Counts: counts}}}, nil
}
