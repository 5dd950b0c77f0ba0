package protojobs

import (
	"sync/atomic"
	"time"

	"github.com/google/uuid"
)

// jobIDs makes job ids in the server's time: it refuses ids whose time part is far from its own clock.
type jobIDs struct {
	offset atomic.Int64 // milliseconds to add to the local clock
}

// next returns a fresh id.
func (j *jobIDs) next() string {
	id := uuid.Must(uuid.NewV7())
	if offset := j.offset.Load(); offset != 0 {
		milliseconds := uint64(time.Now().UnixMilli() + offset)
		for i := range 6 {
			id[i] = byte(milliseconds >> (8 * (5 - i)))
		}
	}
	return id.String()
}

// learn makes later ids as if the local clock had shown this time now.
func (j *jobIDs) learn(serverTime time.Time) {
	j.offset.Store(serverTime.UnixMilli() - time.Now().UnixMilli())
}
