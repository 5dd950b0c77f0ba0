package worker

import (
	"cmp"
	"time"

	pb "github.com/proto-jobs/proto-jobs/clients/go/gen/protojobs/v1"
)

const (
	frameBytes         = 1024 * 1024
	maxCheckpointBytes = 64 * 1024
	defaultRunTimeout  = 300 * time.Second
)

// limits are the bounds and times of a session, as Welcome tells them.
type limits struct {
	ttl             time.Duration
	heartbeat       time.Duration
	resultBytes     int
	checkpointBytes int
	frameBytes      int
	inFlight        int
}

func defaultLimits() limits {
	return limits{30 * time.Second, 7500 * time.Millisecond, 256 * 1024, maxCheckpointBytes, frameBytes, maxWindow}
}

// limitsOf reads Welcome; what it leaves out keeps its default.
func limitsOf(welcome *pb.Welcome) limits {
	known, told := defaultLimits(), welcome.GetLimits()
	return limits{
		ttl:             cmp.Or(welcome.GetSessionTtl().AsDuration(), known.ttl),
		heartbeat:       cmp.Or(welcome.GetHeartbeatInterval().AsDuration(), known.heartbeat),
		resultBytes:     cmp.Or(int(told.GetMaxResultBytes()), known.resultBytes),
		checkpointBytes: cmp.Or(int(told.GetMaxCheckpointBytes()), known.checkpointBytes),
		frameBytes:      min(frameBytes, cmp.Or(int(told.GetMaxReceiveBytes()), 2*frameBytes)/2),
		inFlight:        cmp.Or(int(told.GetMaxInFlight()), known.inFlight),
	}
}

// tick is the time between two looks at what only time brings about.
func (l limits) tick() time.Duration {
	return min(250*time.Millisecond, l.heartbeat/4)
}
