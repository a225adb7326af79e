package honker

import (
	"context"
	"errors"
	"math"
	"runtime/debug"
)

// inHand is a job that a handler runs for.
type inHand struct {
	job    *Job
	cancel context.CancelCauseFunc
	lost   bool // it is not the worker's any more
	orphan bool // nor is its file
	// What the handler made of it.
	failure   error // nil: it is done
	text      string
	verdict   *Verdict
	noHandler *noHandler
	ended     bool // its context had ended by then
}

// start runs the handler for a job.
func (r *workerRun) start(job *Job) {
	ctx := r.ctx
	if !r.sync && !r.inline {
		ctx = context.WithoutCancel(ctx)
	}
	one := &inHand{job: job, failure: errExited, text: errExited.Error()}
	ctx, one.cancel = context.WithCancelCause(ctx)
	r.hand[job.serial] = one
	r.started++
	if !r.inline {
		go r.handle(ctx, one)
		return
	}
	r.handle(ctx, one)
	r.collect()
}

func (r *workerRun) handle(ctx context.Context, one *inHand) {
	defer func() {
		one.cancel(nil)
		r.finished <- one
	}()
	defer func() { // also if the handler ends its goroutine
		if one.failure != nil && !one.ended && (one.verdict == nil || one.verdict.IsFailure()) {
			r.report(ctx, one.job, one.failure)
		}
	}()
	defer func() {
		if why := recover(); why != nil {
			failure := &PanicError{Value: why, Stack: debug.Stack()}
			one.failure, one.text, one.verdict = failure, errorText(failure.Error()), nil
		}
		one.ended = ctx.Err() != nil
	}()
	if err := r.handler(ctx, one.job); err != nil {
		errors.As(err, &one.verdict) // which may panic as the handler may
		errors.As(err, &one.noHandler)
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
	if one.lost {
		return
	}
	settlement := settlement{id: one.job.ID, serial: one.job.serial, kind: settleAck}
	switch {
	case one.failure == nil:
	case one.noHandler != nil:
		settlement.kind = settleRelease
		r.result = one.noHandler.error
		r.stop("a queue without a handler")
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
	case settleRetry, settleFail:
		settlement.error = view(one.text)
		r.logFailure(one, &settlement)
	}
	r.settled = append(r.settled, settlement)
}

// logFailure logs and counts a failure.
func (r *workerRun) logFailure(one *inHand, settlement *settlement) {
	job := one.job
	attrs := []any{"queue", job.Queue, "job", job.ID, "attempt", job.Attempts, "max_attempts", job.MaxAttempts}
	if failure, is := one.failure.(*PanicError); is {
		attrs = append(attrs, "error", failure.message(), "stack", string(failure.Stack))
	} else {
		attrs = append(attrs, "error", one.text)
	}
	if settlement.kind == settleFail || job.Attempts >= job.MaxAttempts {
		r.dead++
		r.log.Error("honker: a job failed, and is dead", attrs...)
		return
	}
	r.retried++
	delayS := settlement.delayS
	if delayS == noTime { // the library's backoff, without its jitter
		o, opts := &r.options, newWorkerOpts()
		backoffS := float64(max(orDefault(o.RetryBaseS, opts.retryBaseS), 0)) * math.Pow(orDefault(o.RetryFactor, opts.retryFactor), float64(job.Attempts-1))
		delayS = int64(min(backoffS, float64(orDefault(o.RetryMaxS, opts.retryMaxS))))
	}
	r.log.Warn("honker: a job failed, and is retried", append(attrs, "next_try_in_s", delayS)...)
}

// lose ends the context of a job that is the worker's no more. It keeps its place until its handler returns.
func (r *workerRun) lose(lost lostJobView) {
	one, cause := r.hand[lost.serial], orDefault(lostCauses[lost.reason], ErrJobGone)
	if one == nil {
		return
	}
	one.lost = true
	one.cancel(cause)
	r.log.Warn(cause.Error(), "queue", one.job.Queue, "job", one.job.ID, "attempt", one.job.Attempts, "max_attempts", one.job.MaxAttempts)
	if lost.reason == lostTimeout {
		go r.report(r.ctx, one.job, cause) // it may be long until the handler returns
	}
}
