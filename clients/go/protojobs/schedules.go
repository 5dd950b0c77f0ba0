package protojobs

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	pb "github.com/proto-jobs/proto-jobs/clients/go/gen/protojobs/v1"
	"google.golang.org/protobuf/types/known/durationpb"
)

// When says when a schedule ticks: make one by Every, Hourly, Daily, Weekly or Cron.
type When struct {
	spec *pb.ScheduleSpec
}

// Every ticks at a fixed distance in elapsed time, 1 s to 365 days, counted from when the schedule was made.
func Every(interval time.Duration) When {
	return EveryFrom(interval, time.Time{})
}

// EveryFrom ticks at anchor + n x interval in elapsed time.
func EveryFrom(interval time.Duration, anchor time.Time) When {
	every := &pb.Every{Interval: durationpb.New(interval), Anchor: timestampOf(anchor)}
	return When{&pb.ScheduleSpec{When: &pb.ScheduleSpec_Every{Every: every}}}
}

// Hourly ticks each hour, when the clock shows this minute.
func Hourly(minute int) When {
	return Cron(fmt.Sprintf("%d * * * *", minute))
}

// Daily ticks each day at local times "HH:MM" or "HH:MM:SS". A time that a change of the clocks skips runs at the change;
// one that comes twice runs once.
func Daily(times ...string) When {
	return When{&pb.ScheduleSpec{When: &pb.ScheduleSpec_Daily{Daily: &pb.Daily{Times: times}}}}
}

// Weekly ticks on some days of the week at local times "HH:MM" or "HH:MM:SS".
func Weekly(days []time.Weekday, times ...string) When {
	weekly := &pb.Weekly{Times: times}
	for _, day := range days {
		number := pb.Weekday(day)
		if day == time.Sunday {
			number = pb.Weekday_WEEKDAY_SUNDAY
		}
		weekly.Days = append(weekly.Days, number)
	}
	return When{&pb.ScheduleSpec{When: &pb.ScheduleSpec_Weekly{Weekly: weekly}}}
}

// Cron ticks where five fields match the local clock, or by @hourly, @daily, @weekly or @monthly.
func Cron(expression string) When {
	return When{&pb.ScheduleSpec{When: &pb.ScheduleSpec_Cron{Cron: expression}}}
}

// String describes it, as `cron "0 5 * * *"`.
func (w When) String() string {
	switch when := w.spec.GetWhen().(type) {
	case *pb.ScheduleSpec_Every:
		return "every " + when.Every.GetInterval().AsDuration().String()
	case *pb.ScheduleSpec_Cron:
		return fmt.Sprintf("cron %q", when.Cron)
	case *pb.ScheduleSpec_Daily:
		return fmt.Sprintf("daily %v", when.Daily.GetTimes())
	case *pb.ScheduleSpec_Weekly:
		return fmt.Sprintf("weekly %v %v", when.Weekly.GetDays(), when.Weekly.GetTimes())
	default:
		return "unknown"
	}
}

// Catchup says which ticks run of those that were missed while no server was there.
type Catchup string

// Catch-up after an outage.
const (
	CatchupLast Catchup = ""     // the latest one
	CatchupSkip Catchup = "SKIP" // none
	CatchupAll  Catchup = "ALL"  // all, up to Schedule.CatchupMost
)

// Overlap says what happens to a tick while the job of the previous one is not final.
type Overlap string

// Overlap of ticks.
const (
	OverlapAllow     Overlap = ""           // it runs too
	OverlapSkip      Overlap = "SKIP"       // it is skipped
	OverlapBufferOne Overlap = "BUFFER_ONE" // one waits for the end of the previous
	OverlapCancelOld Overlap = "CANCEL_OLD" // the previous is cancelled
)

// Schedule makes a job again and again. The same declaration again is the same schedule.
type Schedule struct {
	Name          string // default: kind and a hash of what it does and when
	Job           Job    // what each tick dispatches; takes no ID, Delay or RunAt
	When          When
	TimeZone      string    // IANA name, default UTC; for Cron, Daily and Weekly
	StartAt       time.Time // no tick before
	EndAt         time.Time // no tick at or after
	Jitter        time.Duration
	Catchup       Catchup
	CatchupMost   int           // of CatchupAll, 1 to 1000; default 100
	CatchupWindow time.Duration // older ticks never run; default 1 h
	Overlap       Overlap
	Paused        bool   // false leaves a paused schedule paused
	Etag          string // of the schedule as it was read: refused if it has changed since
}

// ScheduleInfo is a stored schedule. NextAt is zero where it ticks no more.
type ScheduleInfo struct {
	Schedule
	NextAt    time.Time
	LastAt    time.Time
	LastJobID string
	CreatedAt time.Time
}

func (s Schedule) message(codec Codec) (*pb.Schedule, error) {
	if s.Job.ID != "" || s.Job.Delay != 0 || !s.Job.RunAt.IsZero() {
		return nil, errors.New("protojobs: jobs of a schedule take no ID, Delay or RunAt")
	}
	job, err := SpecOf(s.Job, codec)
	if err != nil {
		return nil, err
	}
	spec := &pb.ScheduleSpec{
		When: s.When.spec.GetWhen(), TimeZone: s.TimeZone, StartTime: timestampOf(s.StartAt), EndTime: timestampOf(s.EndAt),
		Jitter: durationOf(s.Jitter),
	}
	return &pb.Schedule{
		Name: s.Name, Spec: spec, Job: job, Paused: s.Paused, Etag: s.Etag,
		Catchup: &pb.Catchup{
			Mode: pb.CatchupMode(pb.CatchupMode_value["CATCHUP_MODE_"+string(s.Catchup)]),
			Max:  unsigned(s.CatchupMost), Window: durationOf(s.CatchupWindow),
		},
		Overlap: pb.OverlapMode(pb.OverlapMode_value["OVERLAP_MODE_"+string(s.Overlap)]),
	}, nil
}

func scheduleInfo(found *pb.Schedule) ScheduleInfo {
	spec := found.GetSpec()
	info := ScheduleInfo{
		Schedule: Schedule{
			Name: found.GetName(), Job: JobFromSpec(found.GetJob()), When: When{spec}, TimeZone: spec.GetTimeZone(),
			StartAt: timeOf(spec.GetStartTime()), EndAt: timeOf(spec.GetEndTime()), Jitter: spec.GetJitter().AsDuration(),
			CatchupMost: int(found.GetCatchup().GetMax()), CatchupWindow: found.GetCatchup().GetWindow().AsDuration(),
			Paused: found.GetPaused(), Etag: found.GetEtag(),
		},
		NextAt: timeOf(found.GetNextTime()), LastAt: timeOf(found.GetLastTime()), LastJobID: found.GetLastJobId(),
		CreatedAt: timeOf(found.GetCreateTime()),
	}
	if mode := nameOf(found.GetCatchup().GetMode().String(), "CATCHUP_MODE_"); mode != "LAST" {
		info.Catchup = Catchup(mode)
	}
	if mode := nameOf(found.GetOverlap().String(), "OVERLAP_MODE_"); mode != "ALLOW" {
		info.Overlap = Overlap(mode)
	}
	return info
}

// Schedule makes or changes a schedule by its name and returns it as stored. Fails with ErrInvalidArgument for what never
// ticks, and with ErrConflict for an etag that does not match.
func (c *Client) Schedule(ctx context.Context, schedule Schedule) (ScheduleInfo, error) {
	message, err := schedule.message(c.options.Codec)
	if err != nil {
		return ScheduleInfo{}, err
	}
	request := &pb.ScheduleRequest{Schedule: message}
	answer, err := call(ctx, c, c.schedules.Schedule, request, c.options.DispatchTimeout)
	if err != nil {
		return ScheduleInfo{}, err
	}
	return scheduleInfo(answer.GetSchedule()), nil
}

// Schedules reads the schedules by name.
func (c *Client) Schedules(ctx context.Context) iter.Seq2[ScheduleInfo, error] {
	return pages(func(token string) ([]ScheduleInfo, string, error) {
		request := &pb.ListSchedulesRequest{PageSize: pageSize, PageToken: token}
		answer, err := call(ctx, c, c.schedules.ListSchedules, request, c.options.ReadTimeout)
		return mapped(answer.GetSchedules(), scheduleInfo), answer.GetNextPageToken(), err
	})
}

// GetSchedule returns one schedule. Fails with ErrScheduleNotFound.
func (c *Client) GetSchedule(ctx context.Context, name string) (ScheduleInfo, error) {
	answer, err := call(ctx, c, c.schedules.GetSchedule, &pb.GetScheduleRequest{Name: name}, c.options.ReadTimeout)
	if err != nil {
		return ScheduleInfo{}, err
	}
	return scheduleInfo(answer.GetSchedule()), nil
}

// PauseSchedule stops its ticks. Fails with ErrScheduleNotFound.
func (c *Client) PauseSchedule(ctx context.Context, name string) error {
	_, err := call(ctx, c, c.schedules.PauseSchedule, &pb.PauseScheduleRequest{Name: name}, c.options.ReadTimeout)
	return err
}

// ResumeSchedule lets it tick again from now on; nothing of the pause is caught up. Fails with ErrScheduleNotFound.
func (c *Client) ResumeSchedule(ctx context.Context, name string) error {
	_, err := call(ctx, c, c.schedules.ResumeSchedule, &pb.ResumeScheduleRequest{Name: name}, c.options.ReadTimeout)
	return err
}

// TriggerSchedule makes a job of the schedule now, whatever its ticks do, and returns its id. Fails with
// ErrScheduleNotFound.
func (c *Client) TriggerSchedule(ctx context.Context, name string) (string, error) {
	request := &pb.TriggerScheduleRequest{Name: name, JobId: c.ids.next()}
	answer, err := call(ctx, c, c.schedules.TriggerSchedule, request, c.options.DispatchTimeout)
	return answer.GetJobId(), err
}

// DeleteSchedule removes a schedule; jobs that it made stay. Fails with ErrScheduleNotFound, and with ErrConflict for an
// etag, where one is given, that does not match.
func (c *Client) DeleteSchedule(ctx context.Context, name, etag string) error {
	request := &pb.DeleteScheduleRequest{Name: name, Etag: etag}
	_, err := call(ctx, c, c.schedules.DeleteSchedule, request, c.options.ReadTimeout)
	return err
}

// PreviewSchedule returns the next ticks, 1 to 100, of a schedule that need not be saved.
func (c *Client) PreviewSchedule(ctx context.Context, when When, timeZone string, count int) ([]time.Time, error) {
	spec := &pb.ScheduleSpec{When: when.spec.GetWhen(), TimeZone: timeZone}
	request := &pb.PreviewScheduleRequest{Source: &pb.PreviewScheduleRequest_Spec{Spec: spec}, Count: unsigned(count)}
	answer, err := call(ctx, c, c.schedules.PreviewSchedule, request, c.options.ReadTimeout)
	return mapped(answer.GetTimes(), timeOf), err
}
