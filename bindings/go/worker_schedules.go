package honker

import (
	"context"
	"errors"
	"time"
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
	err := r.current.start(ctx, func(ctx context.Context) {
		defer close(schedules.ended)
		for ctx.Err() == nil {
			err := scheduler.run(ctx, "", log)
			if err == nil || errors.Is(err, ErrClosed) || errors.Is(err, ErrWatcher) || errors.Is(err, ErrInterrupted) { // the worker finds those out as well
				return
			}
			log.Error("honker: schedules are not fired now; the worker tries again", "error", err)
			select {
			case <-ctx.Done():
			case <-time.After(schedulePause):
			}
		}
	})
	if err != nil {
		cancel()
		return err
	}
	r.schedules = schedules
	return nil
}

// schedulePause is the time after which schedules that failed are tried again.
const schedulePause = 5 * time.Second

// endSchedules returns when nothing fires schedules any more.
func (r *workerRun) endSchedules() {
	if r.schedules != nil {
		r.schedules.cancel()
		<-r.schedules.ended
		r.schedules = nil
	}
}
