package honker

import (
	"context"
	"log/slog"
	"time"
)

// ScheduledTask is a schedule: at every boundary a job goes into a queue.
type ScheduledTask struct {
	Name  string
	Queue string
	// Schedule is when: five fields (minute, hour, day of month, month, day of week), six with seconds in front, a macro
	// such as @daily, or an interval such as "@every 5m". "CRON_TZ=Europe/Berlin " before it sets the time zone, which is
	// otherwise this process's. Cron is another name for it.
	Schedule string
	Cron     string
	Payload  any
	Priority int64
	// ExpiresS is after how many seconds from its boundary a job may not be claimed any more. Default: never.
	ExpiresS *int64
	// MaxAttempts is how often a job may be claimed. Default 0: what Configure has set for its queue, or else 3.
	MaxAttempts int64
	// Options are what else there is to be said of the jobs: metadata, keys, a batch, a delay. Those that the fields above say as
	// well, RunAt and Member are ErrInvalid. What is not said again when the schedule is added again is forgotten.
	Options EnqueueOptions
	// Overlap says what becomes of a boundary while the last job of the schedule is live: OverlapAllow by default.
	Overlap Overlap
}

// Overlap says what becomes of a boundary while the last job of its schedule is live.
type Overlap uint32

const (
	OverlapAllow Overlap = overlapAllow // another job is enqueued
	OverlapSkip  Overlap = overlapSkip  // none is, unless no claim may take that one any more
)

// ScheduledFire is a boundary that was fired.
type ScheduledFire struct {
	Name   string
	Queue  string
	FireAt int64 // the boundary, in Unix seconds
	JobID  int64 // 0 if there is none
	// Status is StatusEnqueued; StatusExists or StatusReplaced if the job is one that has the unique key; StatusSkipped if the boundary
	// was skipped (OverlapSkip).
	Status EnqueueStatus
}

// ScheduleRow is a schedule as it stands in the file.
type ScheduleRow struct {
	Name        string `json:"name"`
	Queue       string `json:"queue"`
	CronExpr    string `json:"cron_expr"`
	Payload     string `json:"payload"` // the text as it is stored
	Priority    int64  `json:"priority"`
	ExpiresS    *int64 `json:"expires_s"`
	NextFireAt  int64  `json:"next_fire_at"`
	Enabled     bool   `json:"enabled"`
	MaxAttempts int64  `json:"max_attempts"`
	// Error says why the schedule never fires, if its stored expression cannot be used; nil otherwise.
	Error *string `json:"error"`
	// Overlap is "allow" or "skip".
	Overlap string `json:"overlap"`
	// Options is what else its jobs are enqueued with, by the names of the options of honker_enqueue_with.
	Options map[string]any `json:"options"`
}

// ScheduleUpdate says what to change of a schedule, for the jobs to come; nil leaves a part as it is.
type ScheduleUpdate struct {
	// CronExpr is a new expression; the next boundary is then computed from now.
	CronExpr *string
	// Payload is a new payload; json.RawMessage("null") for null.
	Payload  any
	Priority *int64
	// ExpiresS is a pointer to the new expiry, which is nil for none.
	ExpiresS **int64
	// MaxAttempts less than 1 means 1.
	MaxAttempts *int64
}

// Scheduler is the schedules of a database; made by Database.Scheduler. They are in the file, for all processes. Any
// goroutine may use it.
type Scheduler struct{ db *Database }

// Scheduler is the schedules of the database.
func (db *Database) Scheduler() *Scheduler { return &Scheduler{db} }

// Add adds a schedule, or replaces the one of that name. An expression that cannot be parsed, or never comes, is
// ErrInvalid and changes nothing. The next boundary of a schedule that is added again stays if the expression is the
// same, and a paused schedule stays paused.
func (s *Scheduler) Add(task ScheduledTask) error {
	expression := orDefault(task.Schedule, task.Cron)
	if task.Cron != "" && task.Cron != expression {
		return invalid(nil, "Schedule and Cron differ: %q and %q", task.Schedule, task.Cron)
	}
	payload, err := encode("payload", task.Payload)
	if err != nil {
		return err
	}
	opts := newScheduleOpts()
	opts.priority, opts.maxAttempts = task.Priority, orDefault(task.MaxAttempts, opts.maxAttempts)
	opts.overlap = uint32(task.Overlap)
	var is optionals
	if opts.expiresS = is.number("ExpiresS", task.ExpiresS); is.err != nil {
		return is.err
	}
	if opts.job, err = task.Options.native(); err != nil {
		return err
	}
	_, err = s.db.native().schedulerRegister(s.db.handle, 0, view(task.Name), view(task.Queue), view(expression), viewOf(payload),
		opts)
	return err
}

// named calls a function of what may be done to the schedule of a name.
func (s *Scheduler) named(f func(c calls, db, tx uintptr, name bytesView) (Status, error), name string) (bool, error) {
	return did(f(s.db.native(), s.db.handle, 0, view(name)))
}

// Remove removes a schedule; jobs it has enqueued stay. How many that were: 1, or 0 if there is none of that name.
func (s *Scheduler) Remove(name string) (int64, error) {
	removed, err := s.named(calls.schedulerUnregister, name)
	if removed {
		return 1, nil
	}
	return 0, err
}

// Pause pauses a schedule. False if there is none of that name, or it is paused already.
func (s *Scheduler) Pause(name string) (bool, error) { return s.named(calls.schedulerPause, name) }

// Resume resumes a paused schedule; the boundaries it missed are fired by the next tick, 64 at most. False if there is
// none of that name, or it is not paused.
func (s *Scheduler) Resume(name string) (bool, error) { return s.named(calls.schedulerResume, name) }

// Update changes parts of a schedule. False, and nothing changed, if there is none of that name or nothing to change.
func (s *Scheduler) Update(name string, update ScheduleUpdate) (bool, error) {
	changes := newScheduleUpdate()
	if update.CronExpr != nil {
		changes.fields |= updateExpression
		changes.expression = view(*update.CronExpr)
	}
	if update.Payload != nil {
		payload, err := encode("payload", update.Payload)
		if err != nil {
			return false, err
		}
		changes.fields |= updatePayload
		changes.payload = viewOf(payload)
	}
	if update.Priority != nil {
		changes.fields |= updatePriority
		changes.priority = *update.Priority
	}
	var is optionals
	if update.ExpiresS != nil {
		changes.fields |= updateExpires
		changes.expiresS = is.number("ExpiresS", *update.ExpiresS)
	}
	if update.MaxAttempts != nil {
		changes.fields |= updateMaxAttempts
		changes.maxAttempts = is.number("MaxAttempts", update.MaxAttempts)
	}
	if is.err != nil {
		return false, is.err
	}
	return did(s.db.native().schedulerUpdate(s.db.handle, 0, view(name), changes))
}

// Tick enqueues a job for every boundary until now that nobody has fired yet, of every schedule that is not paused: oldest
// first, 64 for each schedule at most, the rest is skipped. However many tick, each boundary is fired once.
func (s *Scheduler) Tick() ([]ScheduledFire, error) { return s.tick(noTime) }

// TickAt is Tick for the boundaries up to a time, in Unix seconds.
func (s *Scheduler) TickAt(until int64) ([]ScheduledFire, error) {
	var is optionals
	if until = is.number("until", &until); is.err != nil {
		return nil, is.err
	}
	return s.tick(until)
}

func (s *Scheduler) tick(until int64) ([]ScheduledFire, error) {
	native := s.db.native()
	handle, status, err := native.schedulerTick(s.db.handle, 0, until)
	if err != nil || status != statusOK {
		return nil, err
	}
	defer native.firesFree(handle)
	length, _, err := native.firesLen(handle)
	if err != nil {
		return nil, err
	}
	fires := make([]ScheduledFire, length)
	view := newFireView()
	for i := range fires {
		if _, err := native.firesGet(handle, i, view); err != nil {
			return nil, err
		}
		fires[i] = ScheduledFire{Name: view.name.text(), Queue: view.queue.text(), FireAt: view.fireAt, JobID: view.jobID, Status: enqueueStatus(view.status)}
	}
	return fires, nil
}

// Soonest is the next boundary, in Unix seconds, of any schedule that is not paused; it may lie in the past. 0 if there is
// none.
func (s *Scheduler) Soonest() (int64, error) {
	return valueOf(s.db.native().schedulerSoonest(s.db.handle, 0))
}

// List is all schedules by name.
func (s *Scheduler) List() ([]ScheduleRow, error) {
	rows, _, err := s.db.lib.textOf(s.db.native().schedulerList(s.db.handle, 0))
	return decodeList[[]ScheduleRow](rows, err)
}

// NextAfter is the first boundary of an expression after from, both in Unix seconds.
func (s *Scheduler) NextAfter(expression string, from int64) (int64, error) {
	return valueOf(s.db.native().cronNextAfter(view(expression), from))
}

// Run fires what is due, when it is due, until ctx ends, which is no error. Of all that run on a file, in any process, one leads
// and the others stand by; it hands over at once when it stops, and within a minute when it has died. With nothing to
// fire it waits for a schedule to be added. owner is its name among them, which nobody else may have; an empty one is
// made of host, process and a random number.
//
// What may pass by itself (a locked file, a full disk) is logged once, with slog.Default(), and Run tries again, with growing
// distances. When the file is replaced it ends with ErrWatcher: open the database again, or leave schedules to a Worker, which
// does that (WorkerOptions.Schedules). It ends with other errors as well.
func (s *Scheduler) Run(ctx context.Context, owner string) error {
	return s.run(ctx, owner, pauses{log: slog.Default(), who: "the scheduler", passes: isTransient})
}

func (s *Scheduler) run(ctx context.Context, owner string, failing pauses) error {
	if owner == "" {
		owner = workerName()
	}
	for {
		err := s.lead(ctx, owner, failing.over)
		again := failing.after(err, 10*time.Second)
		if again == nil {
			return err
		}
		select {
		case <-again:
		case <-ctx.Done():
			return nil
		case <-s.db.context.Done():
			return s.db.isClosed()
		}
	}
}

// lead stands among those that fire until ctx ends, or it fails. It calls works each time that the file could be used.
func (s *Scheduler) lead(ctx context.Context, owner string, works func()) error {
	w, err := s.db.newWaiting(calls.leaderFree, func(waiter uintptr, token uint64) (uintptr, error) {
		return valueOf(s.db.native().leaderNew(s.db.handle, waiter, token, view(owner)))
	})
	if err != nil {
		return err
	}
	defer w.end()
	for {
		err := w.await(ctx, func() (bool, error) {
			fires, status, err := w.native().leaderNext(w.consumer, 0)
			w.native().firesFree(fires)
			if err == nil {
				works()
			}
			return status == statusOK && err == nil, err
		})
		if isTransient(err) && w.dispatcher.isOver() { // this one does not pass: the file was replaced
			return w.isOver()
		}
		if isEndOf(ctx, err) {
			// What cannot be written now is not given up now; that happens when w ends, or the time of the lock is over.
			if _, err = w.native().leaderResign(w.consumer); isTransient(err) {
				return nil
			}
			return err
		}
		if err != nil {
			return err
		}
	}
}
