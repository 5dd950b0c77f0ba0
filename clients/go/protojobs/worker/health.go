package worker

import (
	"log/slog"
	"os"
	"time"
)

// Health is how a worker is.
type Health struct {
	Stream    bool // a stream stands, or was lost only a short while ago
	Phase     string
	Running   int
	Waiting   int
	Unsettled int
	Stuck     int
}

// OK tells that nothing is wrong that a restart could mend.
func (h Health) OK() bool { return h.Stream }

// show touches the file, or removes it.
func (h Health) show(file string, log *slog.Logger) {
	var err error
	if h.OK() {
		err = touch(file)
	} else if err = os.Remove(file); os.IsNotExist(err) {
		err = nil
	}
	if err != nil {
		log.Error("health file cannot be written", "error", err)
	}
}

func touch(file string) error {
	opened, err := os.OpenFile(file, os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	if err := opened.Close(); err != nil {
		return err
	}
	now := time.Now()
	return os.Chtimes(file, now, now)
}

func (s *session) health() Health {
	s.mu.Lock()
	defer s.mu.Unlock()
	ledger := s.holding.ledger
	return Health{
		Stream: s.connected || time.Since(s.downSince) < s.options.UnhealthyAfter,
		Phase:  string(s.holding.phase), Running: ledger.running, Waiting: ledger.inLine,
		Unsettled: len(ledger.held), Stuck: s.holding.stuck,
	}
}
