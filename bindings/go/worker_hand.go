package honker

import (
	"context"
	"errors"
	"math"
	"runtime/debug"
	"sync"
	"time"
)

// inHand is a job that a handler runs for.
type inHand struct {
	job    *Job // the worker's own copy: the handler may change the one that it has
	cancel context.CancelCauseFunc
	lost   bool // it is not the worker's any more
	orphan bool // nor is its file
	// What the handler made of it.
	failure error // nil: it is done
	text    string
	verdict *Verdict
	ended   bool // its context had ended by then
}

// attrs are what the log says of the job.
func (one *inHand) attrs() []any {
	job := one.job
	return []any{"queue", job.Queue, "job", job.ID, "attempt", job.Attempts, "max_attempts", job.MaxAttempts}
}

// failureAttrs are attrs, and what the handler failed with.
func (one *inHand) failureAttrs() []any {
	if failure, is := one.failure.(*PanicError); is {
		return append(one.attrs(), "error", failure.message(), "stack", string(failure.Stack))
	}
	return append(one.attrs(), "error", one.text)
}

// limited is the context of a job that may run until a time. It ends when the library says so, which then takes the job away.
type limited struct {
	context.Context
	deadline func() (time.Time, bool)
}

func (l limited) Deadline() (time.Time, bool) { return l.deadline() }

// limitFrom gives until when the job may run, also if that was said when it was enqueued. Few ask for it: it is read then.
func (j *Job) limitFrom(start time.Time, limitS int64) func() (time.Time, bool) {
	db, id := j.db, j.ID
	return func() (time.Time, bool) {
		found, _, err := db.Jobs(JobFilter{MinID: id, MaxID: id}).Page(0)
		if err == nil && len(found) > 0 && found[0].MaxRunS != nil {
			limitS = *found[0].MaxRunS
		}
		if limitS > math.MaxInt64/int64(time.Second) {
			return time.Time{}, false
		}
		return start.Add(time.Duration(limitS) * time.Second), true
	}
}

func (l limited) Err() error {
	if errors.Is(context.Cause(l.Context), context.DeadlineExceeded) {
		return context.DeadlineExceeded
	}
	return l.Context.Err()
}

// start runs the handler for a job.
func (r *workerRun) start(job *Job) {
	ctx := r.ctx
	if !r.sync && !r.inline {
		ctx = context.WithoutCancel(ctx)
	}
	job.shared = &jobShared{}
	own := *job
	one := &inHand{job: &own, failure: errExited, text: errExited.Error()}
	ctx, one.cancel = context.WithCancelCause(ctx)
	if r.native.maxRunS != noTime && !r.inline {
		ctx = limited{ctx, sync.OnceValues(own.limitFrom(time.Now(), r.native.maxRunS))}
	}
	r.hand[job.serial] = one
	r.started++
	if !r.inline {
		go r.handle(ctx, one, job)
		return
	}
	r.handle(ctx, one, job)
	r.collect()
}

func (r *workerRun) handle(ctx context.Context, one *inHand, job *Job) {
	defer func() {
		one.cancel(nil)
		r.finished <- one
	}()
	defer func() { // also if the handler ends its goroutine
		_, panicked := one.failure.(*PanicError)
		if panicked && one.ended { // whoever settles it does not look at that any more, if there is somebody
			r.log.Error("honker: a handler panicked after its context had ended", one.failureAttrs()...)
		}
		if panicked || one.failure != nil && !one.ended && (one.verdict == nil || one.verdict.IsFailure()) {
			r.report(ctx, job, one.failure)
		}
	}()
	defer func() {
		if why := recover(); why != nil {
			failure := &PanicError{Value: why, Stack: debug.Stack()}
			one.failure, one.text, one.verdict = failure, errorText(failure.Error()), nil
		}
		one.ended = ctx.Err() != nil
	}()
	if err := r.handlers[one.job.Queue](ctx, job); err != nil {
		errors.As(err, &one.verdict) // which may panic as the handler may
		one.failure, one.text = err, errorText(err.Error())
	} else {
		one.failure = nil
	}
}

// report tells OnError of a failure.
func (r *workerRun) report(ctx context.Context, job *Job, failure error) {
	if r.options.OnError == nil {
		return
	}
	defer func() {
		if why := recover(); why != nil {
			r.log.Error("honker: OnError panicked", "job", job.ID, "error", &PanicError{Value: why, Stack: debug.Stack()})
		}
	}()
	r.options.OnError(ctx, job, failure)
}

// collect takes what is finished.
func (r *workerRun) collect() {
	for {
		select {
		case one := <-r.finished:
			r.finish(one)
		default:
			return
		}
	}
}

// finish says what becomes of a job whose handler has returned.
func (r *workerRun) finish(one *inHand) {
	if one.orphan {
		r.orphans--
		return
	}
	delete(r.hand, one.job.serial)
	if one.failure == nil && one.job.shared.ackedSQL.Load() { // its transaction has settled it, or takes that back
		if !one.lost {
			_, _ = r.consumer.native().workerSettled(r.consumer.consumer, one.job.ID, one.job.serial) // fails if it is closed
		}
		r.done++
		return
	}
	if one.lost {
		return
	}
	settlement := settlement{id: one.job.ID, serial: one.job.serial, kind: settleAck}
	switch {
	case one.failure == nil:
	case one.verdict != nil:
		settlement.kind, settlement.delayS = one.verdict.kind, one.verdict.delayS
	case one.ended:
		settlement.kind = settleRelease
	default:
		settlement.kind, settlement.delayS = settleRetry, r.retryDelayS
	}
	switch settlement.kind {
	case settleAck:
		r.done++
	case settleSnooze:
		r.snoozed++
	case settleRelease:
		r.released++
		if _, panicked := one.failure.(*PanicError); !panicked { // those are told of otherwise
			r.log.Info("honker: a job failed after its context had ended, and is given back", one.failureAttrs()...)
		}
	case settleRetry, settleFail:
		settlement.error = view(one.text)
		r.failed[settlement.serial] = one
	}
	r.settled = append(r.settled, settlement)
}

// logFailure logs and counts a failure that has been settled.
func (r *workerRun) logFailure(one *inHand, settlement settlement) {
	job, attrs := one.job, one.failureAttrs()
	switch {
	case settlement.status == statusLost:
		r.log.Warn("honker: a job failed that is not the worker's any more; it has been settled already, or its claim is over", attrs...)
	case settlement.kind == settleFail || job.Attempts >= job.MaxAttempts:
		r.dead++
		r.log.Error("honker: a job failed, and is dead", attrs...)
	default:
		r.retried++
		delayS := settlement.delayS
		if delayS == noTime {
			delayS = r.backoffS(job.Attempts)
			if set, err := r.current.Queue(job.Queue, QueueOptions{}).Settings(); err == nil && set.Retry != nil {
				delayS = set.Retry.backoffS(job.Attempts)
			}
		}
		r.log.Warn("honker: a job failed, and is retried", append(attrs, "next_try_in_s", delayS)...)
	}
}

// logUnsettled logs the failures of which nobody knows what becomes of their jobs.
func (r *workerRun) logUnsettled() {
	for serial, one := range r.failed {
		r.log.Error("honker: a job failed, which could not be settled; it is run again when its claim is over", one.failureAttrs()...)
		delete(r.failed, serial)
	}
}

// lose ends the context of a job that is the worker's no more. It keeps its place until its handler returns.
func (r *workerRun) lose(lost lostJobView) {
	one, cause := r.hand[lost.serial], orDefault(lostCauses[lost.reason], ErrJobGone)
	if one == nil {
		return
	}
	one.lost = true
	if lost.reason == lostGone && one.job.shared.ackedSQL.Load() { // by its handler, which goes on
		return
	}
	one.job.shared.lost.Store(true)
	one.cancel(cause)
	r.stuck = time.After(cancelTimeout)
	if lost.reason != lostTimeout {
		r.log.Warn(cause.Error(), one.attrs()...)
		return
	}
	// The library has settled it. It may be long until the handler returns, which has the other copy of the job.
	r.logFailure(&inHand{job: one.job, failure: cause, text: cause.Error()}, settlement{kind: settleRetry, delayS: noTime})
	job := *one.job
	r.reports.Add(1)
	go func() {
		defer r.reports.Done()
		r.report(r.ctx, &job, cause)
	}()
}

// sayIfStuck says that nothing more is run because handlers of jobs that were lost hold all the places.
func (r *workerRun) sayIfStuck() {
	running := r.orphans
	for _, one := range r.hand {
		if one.lost {
			running++
		}
	}
	if running == r.options.Concurrency {
		r.log.Error("honker: the worker runs no job until a handler returns; all ignore that their contexts have ended", "running", running)
	}
}

// awaitReports waits for those OnError that run beside their handlers, but not for ever.
func (r *workerRun) awaitReports() {
	over := make(chan struct{})
	go func() {
		r.reports.Wait()
		close(over)
	}()
	select {
	case <-over:
	case <-time.After(cancelTimeout):
		r.log.Warn("honker: OnError has not returned, and still runs")
	}
}
