package honker

import (
	"context"
	"errors"
)

// firing is the goroutine that fires schedules beside a worker.
type firing struct {
	cancel context.CancelFunc
	ended  chan struct{}
}

// addSchedules adds the worker's schedules to the file.
func (r *workerRun) addSchedules() error {
	if r.inline {
		return nil
	}
	for _, task := range r.options.Schedules {
		if err := r.current.Scheduler().Add(task); err != nil {
			return err
		}
	}
	return nil
}

// startSchedules fires schedules, in a goroutine of the database's, until endSchedules. A failure of theirs does not end the worker.
func (r *workerRun) startSchedules() error {
	if r.inline || len(r.options.Schedules) == 0 {
		return nil
	}
	ctx, cancel := context.WithCancel(r.ctx)
	schedules, scheduler, log := &firing{cancel, make(chan struct{})}, r.current.Scheduler(), r.log
	passes := func(err error) bool { // the worker finds out the others as well
		return !errors.Is(err, ErrClosed) && !errors.Is(err, ErrWatcher) && !errors.Is(err, ErrInterrupted)
	}
	err := r.current.start(ctx, func(ctx context.Context) {
		defer close(schedules.ended)
		_ = scheduler.run(ctx, "", pauses{log: log, who: "the scheduler", passes: passes})
	})
	if err != nil {
		cancel()
		return err
	}
	r.schedules = schedules
	return nil
}

// endSchedules returns when nothing fires schedules any more.
func (r *workerRun) endSchedules() {
	if r.schedules != nil {
		r.schedules.cancel()
		<-r.schedules.ended
		r.schedules = nil
	}
}
