package honker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"slices"
	"sync/atomic"
	"time"
)

// WorkerQueue is a queue that a worker claims from.
type WorkerQueue struct {
	Name string
	// Weight is how often the queue is asked first, compared with the others; places that it cannot fill go to them.
	// Default 1. A negative one is no weight: asked after the others, and if none has one, in the order given.
	Weight int64
	// MaxInHand is how many of its jobs may run at once. Default: as many as the worker runs.
	MaxInHand int64
}

// WorkerOptions says how a worker works. Zero means the default.
type WorkerOptions struct {
	// Queues are the queues to work on, at least one.
	Queues []WorkerQueue
	// Concurrency is how many jobs run side by side. Default 10.
	Concurrency int
	// Name is what it claims as, which nobody else may do. Default: a random one.
	Name string
	// VisibilityTimeoutS is for how many seconds a claim outlives a worker that died. Default 300. The worker prolongs
	// the claims of jobs that run.
	VisibilityTimeoutS int64
	// MaxRunS is how many seconds a job may run; then its context ends, and it is retried. Default: without limit.
	MaxRunS int64
	// A job that failed for the nth time is retried after RetryBaseS·RetryFactor^(n-1) seconds, at most RetryMaxS, give or
	// take a share of RetryJitter. Defaults 15, 2, 3600, 0.1; a negative RetryBaseS is no wait, a negative jitter none.
	RetryBaseS  int64
	RetryMaxS   int64
	RetryFactor float64
	RetryJitter float64
	// StopTimeout is how long jobs that run may go on when the worker is told to stop, before their context ends.
	// Default 8 s, to be done within the 10 s that Docker gives; negative: no time.
	StopTimeout time.Duration
	// Logger is told of failures. Default slog.Default().
	Logger *slog.Logger
}

// cancelTimeout is how long handlers have to return once their context has ended.
const cancelTimeout = 1500 * time.Millisecond

// settleTimeout is for how long a worker that ends tries to settle what is finished; a variable for tests.
var settleTimeout = 5 * time.Second

// Worker runs the jobs of some queues; made by Database.NewWorker.
type Worker struct {
	db      *Database
	options WorkerOptions
	running atomic.Bool

	// What Queue.Work and Outbox do otherwise.
	sync        bool  // the handler's context ends with the worker's, and the handler may take its time
	heartbeat   bool  // claims are prolonged
	retryDelayS int64 // noTime: as the backoff says
}

// Handler does a job. If it returns nil the job is done. If it returns an error, panics or ends its goroutine, the job is
// retried, with the text of that, as the worker's options say, and is among the dead after its last attempt. Snooze,
// RetryAfter and Discard make errors that say what is to become of the job instead. A handler may also settle the job
// itself, in a transaction for instance.
//
// ctx ends when the claim was lost (the job was cancelled, ran for too long, or lapsed while the process could not
// prolong it), when the worker has to stop, or when the database is closed; context.Cause says which. A job that returns an
// error after the worker had to stop is given back, and that attempt does not count.
type Handler = func(ctx context.Context, job *Job) error

// NewWorker makes a worker. Several may run in a process.
func (db *Database) NewWorker(options WorkerOptions) *Worker {
	options.Concurrency = orDefault(options.Concurrency, 10)
	options.VisibilityTimeoutS = orDefault(options.VisibilityTimeoutS, 300)
	options.MaxRunS = orDefault(options.MaxRunS, noTime)
	options.StopTimeout = max(orDefault(options.StopTimeout, 8*time.Second), 0)
	options.Name = orDefault(options.Name, randomName())
	options.Logger = orDefault(options.Logger, slog.Default())
	return &Worker{db: db, options: options, heartbeat: true, retryDelayS: noTime}
}

// newWorker makes a worker of the library's, for newWaiting.
func (db *Database) newWorker(queues []WorkerQueue, name string, opts *workerOpts) func(uintptr, uint64) (uintptr, error) {
	return func(waiter uintptr, token uint64) (uintptr, error) {
		native := make([]workerQueue, len(queues))
		for i, queue := range queues {
			native[i] = *newWorkerQueue()
			native[i].name = view(queue.Name)
			native[i].weight = max(orDefault(queue.Weight, 1), 0)
			native[i].inHandMax = orDefault(queue.MaxInHand, -1)
		}
		worker, _, err := db.native().workerNew(db.handle, waiter, token, native, view(name), opts)
		return worker, err
	}
}

// Run runs jobs until ctx ends, which is no error. Then it claims nothing more, and lets those that run finish for
// StopTimeout; then it ends their contexts, and gives back what has not finished. If a handler has not returned even then,
// that is an error: its goroutine still runs.
//
// What may pass by itself (a locked file, a full disk) is logged once, and Run tries again, with growing distances. It
// ends with other errors: ErrClosed, ErrWatcher when the file was replaced. Jobs that run are told, and what they did is
// not settled: another worker does them when the visibility timeout is over. A process that dies leaves its jobs that way
// too.
func (w *Worker) Run(ctx context.Context, handler Handler) error {
	run, err := w.begin(ctx, handler)
	if run == nil {
		return err
	}
	defer run.close()
	return run.loop()
}

// runOnce runs one job, if there is one to run now; whether there was.
func (w *Worker) runOnce(ctx context.Context, handler Handler) (bool, error) {
	run, err := w.begin(ctx, handler)
	if run == nil {
		return false, err
	}
	defer run.close()
	if _, err := run.turn(); err != nil {
		return false, err
	}
	ran := len(run.hand) > 0
	run.stopping = true
	return ran, run.loop()
}

// begin begins a run; nil, and perhaps no error, if there is none.
func (w *Worker) begin(ctx context.Context, handler Handler) (*workerRun, error) {
	if handler == nil {
		return nil, invalid(nil, "the handler is nil")
	}
	if w.options.Concurrency < 0 {
		return nil, invalid(nil, "Concurrency is negative: %d", w.options.Concurrency)
	}
	if w.running.Swap(true) {
		return nil, newError(StatusMisuse, "the worker %q runs already", w.options.Name)
	}
	opts := newWorkerOpts()
	opts.visibilityTimeoutS, opts.maxRunS, opts.fallbackMS = w.options.VisibilityTimeoutS, w.options.MaxRunS, workerFallbackMS
	opts.retryBaseS = orDefault(w.options.RetryBaseS, opts.retryBaseS)
	opts.retryMaxS = orDefault(w.options.RetryMaxS, opts.retryMaxS)
	opts.retryFactor = orDefault(w.options.RetryFactor, opts.retryFactor)
	opts.retryJitter = max(orDefault(w.options.RetryJitter, opts.retryJitter), 0)
	if !w.heartbeat {
		opts.heartbeat = 0
	}
	run := &workerRun{Worker: w, ctx: ctx, handler: handler, hand: map[int64]*inHand{},
		finished: make(chan *inHand, w.options.Concurrency), interrupts: w.db.interrupts.Load()}
	for {
		var err error
		run.consumer, err = w.db.newWaiting(calls.workerFree, w.db.newWorker(w.options.Queues, w.options.Name, opts))
		if err == nil {
			return run, nil
		}
		if !run.isTransient(err) {
			w.running.Store(false)
			return nil, err
		}
		select {
		case <-run.again:
			run.again = nil
		case <-ctx.Done():
			w.running.Store(false)
			return nil, nil
		}
	}
}

// workerRun is one Run. Its goroutine alone uses it; handlers have goroutines of their own, and tell it by finished.
type workerRun struct {
	*Worker
	ctx      context.Context
	consumer *waiting
	handler  Handler

	hand       map[int64]*inHand // what handlers run for, by serial
	settled    []settlement      // what has to be settled
	finished   chan *inHand      // there is room for each, so that handlers end whether or not anybody receives
	interrupts uint64

	stopping bool             // nothing is claimed any more
	result   error            // what the run ends with then
	deadline <-chan time.Time // when StopTimeout is over
	ended    bool             // their contexts have ended because of that

	again   <-chan time.Time // when to try again after an error; nil if there was none
	failing time.Duration    // the time before that
}

// inHand is a job that a handler runs for.
type inHand struct {
	job    *Job
	cancel context.CancelCauseFunc
	lost   bool
	// What the handler made of it.
	failed  bool
	text    string
	verdict *Verdict
}

var errStopped = errors.New("honker: the worker has to stop")

func (r *workerRun) close() {
	r.consumer.end()
	r.running.Store(false)
}

func (r *workerRun) loop() error {
	stop := r.ctx.Done()
	for {
		if r.again == nil {
			more, err := r.turn()
			switch {
			case errors.Is(err, ErrInterrupted):
				r.interrupts, r.result = r.db.interrupts.Load(), err
				r.stop()
				more = true
			case err != nil && !r.isTransient(err):
				return r.giveUp(err)
			}
			if more {
				r.collect()
				continue
			}
		}
		if (r.stopping || r.ctx.Err() != nil) && len(r.hand) == 0 {
			if len(r.settled) == 0 {
				return r.result
			}
			return errors.Join(r.result, r.settleRest())
		}
		select {
		case one := <-r.finished:
			r.finish(one)
			r.collect()
		case <-r.consumer.woken:
		case <-r.again:
			r.again = nil
		case <-stop:
			stop = nil
			r.stop()
		case <-r.deadline:
			if done, err := r.pastDeadline(); done {
				return err
			}
		case <-r.consumer.ended:
			return r.giveUp(r.consumer.isClosed())
		case <-r.consumer.dispatcher.done:
			if _, err := r.turn(); err != nil {
				return r.giveUp(err)
			}
			return r.giveUp(r.consumer.isOver())
		}
	}
}

// turn settles what is finished, claims what there is room for, and starts handlers. True if there may be more.
func (r *workerRun) turn() (bool, error) {
	if r.db.interrupts.Load() != r.interrupts {
		return false, newError(StatusInterrupted, "ended by Interrupt")
	}
	n := r.options.Concurrency - len(r.hand)
	if r.stopping || r.ctx.Err() != nil {
		n = 0
	}
	handle, status, err := r.consumer.native().workerSettleNext(r.consumer.consumer, r.settled, int64(n), 0)
	r.settled = slices.DeleteFunc(r.settled, func(one settlement) bool { return one.status >= 0 || err == nil && r.refused(&one) })
	if err != nil {
		return false, err
	}
	if r.failing > 0 {
		r.failing = 0
		r.options.Logger.Info("honker: the worker goes on", "worker", r.options.Name)
	}
	if status != statusOK {
		return false, nil
	}
	lost, err := r.db.lostJobs(handle)
	jobs, err2 := r.db.takeJobs(handle, r.options.Name)
	if err = errors.Join(err, err2); err != nil {
		return false, err
	}
	for _, one := range lost {
		r.lose(one)
	}
	for _, job := range jobs {
		r.start(job)
	}
	return true, nil
}

// refused leaves a job alone that the file does not let settle, though it settles others: it is run again when its claim is
// over, which is not prolonged any more.
func (r *workerRun) refused(one *settlement) bool {
	r.options.Logger.Error("honker: a job cannot be settled, and is run again when its claim is over", "job", one.id, "error", Status(one.status))
	if _, err := r.consumer.native().workerSettled(r.consumer.consumer, one.id, one.serial); err != nil {
		r.options.Logger.Error("honker: the claim of that job is prolonged as long as the worker runs", "job", one.id, "error", err)
	}
	return true
}

// start runs the handler for a job.
func (r *workerRun) start(job *Job) {
	ctx := r.ctx
	if !r.sync {
		ctx = context.WithoutCancel(ctx)
	}
	one := &inHand{job: job, failed: true, text: "the handler ended its goroutine"}
	ctx, one.cancel = context.WithCancelCause(ctx)
	r.hand[job.serial] = one
	go func() {
		defer func() {
			one.cancel(nil)
			r.finished <- one
		}()
		defer func() {
			if why := recover(); why != nil {
				one.text, one.verdict = panicText(why, debug.Stack()), nil
			}
		}()
		one.is(r.handler(ctx, job))
	}()
}

// is keeps what the handler has returned. The error's methods may panic as the handler may.
func (one *inHand) is(failure error) {
	if failure == nil {
		one.failed = false
		return
	}
	errors.As(failure, &one.verdict)
	one.text = errorText(failure.Error())
}

// collect takes what else is finished.
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
	delete(r.hand, one.job.serial)
	if one.lost {
		return
	}
	settlement := settlement{id: one.job.ID, serial: one.job.serial, kind: settleAck}
	log := r.options.Logger.With("queue", one.job.Queue, "job", one.job.ID, "attempt", one.job.Attempts)
	switch {
	case !one.failed:
	case one.verdict != nil:
		settlement.kind, settlement.delayS = one.verdict.kind, one.verdict.delayS
		switch one.verdict.kind {
		case settleRetry:
			log.Warn("honker: a job failed, and is retried", "in_s", one.verdict.delayS, "error", one.text)
		case settleFail:
			log.Error("honker: a job was discarded", "error", one.text)
		}
	case r.ended || r.sync && r.ctx.Err() != nil:
		settlement.kind = settleRelease
	default:
		settlement.kind, settlement.delayS = settleRetry, r.retryDelayS
		log.Warn("honker: a job failed", "error", one.text)
	}
	if settlement.kind == settleRetry || settlement.kind == settleFail {
		settlement.error = view(one.text)
	}
	r.settled = append(r.settled, settlement)
}

// lose ends the context of a job that is the worker's no more. It keeps its place until its handler returns.
func (r *workerRun) lose(lost lostJobView) {
	one := r.hand[lost.serial]
	if one == nil {
		return
	}
	one.lost = true
	why := map[uint32]string{lostGone: "it was cancelled, or settled by somebody else", lostLapsed: "its claim was over",
		lostTaken: "its claim was over, and it was claimed again", lostTimeout: "it ran for too long, and is retried"}[lost.reason]
	one.cancel(newError(StatusInterrupted, "the job was lost: %s", why))
	r.options.Logger.Warn("honker: a job was lost", "queue", one.job.Queue, "job", one.job.ID, "attempt", one.job.Attempts, "why", why)
}

// stop begins to stop.
func (r *workerRun) stop() {
	r.stopping = true
	if !r.sync && r.deadline == nil {
		r.deadline = time.After(r.options.StopTimeout)
	}
}

// pastDeadline first ends the contexts of what runs, and then the run; true then.
func (r *workerRun) pastDeadline() (bool, error) {
	if !r.ended {
		r.ended = true
		for _, one := range r.hand {
			one.cancel(errStopped)
		}
		r.deadline = time.After(cancelTimeout)
		return false, nil
	}
	r.collect() // those that have just returned
	remaining := len(r.hand)
	for serial, one := range r.hand {
		if !one.lost {
			r.settled = append(r.settled, settlement{id: one.job.ID, serial: serial, kind: settleRelease})
		}
	}
	clear(r.hand)
	err := r.settleRest()
	if remaining > 0 {
		left := fmt.Errorf("honker: %d handlers ignored that their context had ended, and still run", remaining)
		r.options.Logger.Error(left.Error(), "worker", r.options.Name)
		err = errors.Join(r.result, err, left)
	}
	return true, err
}

// settleRest settles what is finished, when nothing runs any more. Errors that may pass it waits out, but not for ever.
func (r *workerRun) settleRest() error {
	for deadline := time.Now().Add(settleTimeout); ; {
		_, err := r.turn()
		if len(r.settled) == 0 || err != nil && !r.isTransient(err) || time.Now().After(deadline) {
			return err
		}
		if r.again != nil {
			<-r.again
			r.again = nil
		}
	}
}

// giveUp ends a run that cannot go on.
func (r *workerRun) giveUp(err error) error {
	for _, one := range r.hand {
		one.cancel(err)
	}
	var deadline <-chan time.Time
	if !r.sync {
		deadline = time.After(cancelTimeout)
	}
	for len(r.hand) > 0 {
		select {
		case one := <-r.finished:
			delete(r.hand, one.job.serial)
		case <-deadline:
			return errors.Join(err, fmt.Errorf("honker: %d handlers ignored that their context had ended, and still run", len(r.hand)))
		}
	}
	return err
}

// isTransient is true for an error that may pass by itself, and then says when to try again.
func (r *workerRun) isTransient(err error) bool {
	var failed *Error
	if !errors.As(err, &failed) || !failed.Status.isTransient() {
		return false
	}
	if r.failing == 0 {
		r.options.Logger.Warn("honker: the worker cannot go on now, and tries again", "worker", r.options.Name, "error", err)
	}
	r.failing = min(max(2*r.failing, 50*time.Millisecond), 2*time.Second)
	r.again = time.After(r.failing)
	return true
}

// Verdict is an error with which a handler says what is to become of its job: see Snooze, RetryAfter and Discard.
type Verdict struct {
	kind   uint32
	delayS int64
	cause  error
}

// Error is the text of the error that it was made of.
func (v *Verdict) Error() string {
	if v.cause == nil {
		return map[uint32]string{settleSnooze: "snoozed", settleFail: "discarded", settleRetry: "to be retried"}[v.kind]
	}
	return v.cause.Error()
}

// Unwrap is the error that it was made of.
func (v *Verdict) Unwrap() error { return v.cause }

// Snooze makes the job due again after delay, and this attempt does not count. Whole seconds, rounded up.
func Snooze(delay time.Duration) error { return &Verdict{settleSnooze, wholeSeconds(delay), nil} }

// RetryAfter makes the job due again after delay, whatever the worker's backoff says. Whole seconds, rounded up. It is
// among the dead, with the error's text, if that was its last attempt.
func RetryAfter(delay time.Duration, err error) error {
	return &Verdict{settleRetry, wholeSeconds(delay), err}
}

// Discard says that the job can never be done: it is among the dead with the error's text.
func Discard(err error) error { return &Verdict{settleFail, 0, err} }

func wholeSeconds(delay time.Duration) int64 {
	seconds := max(delay, 0) / time.Second
	if delay > seconds*time.Second {
		seconds++
	}
	return int64(seconds)
}

// panicText is what is kept of a panic.
func panicText(why any, stack []byte) (text string) {
	const most = 8 << 10
	defer func() {
		if recover() != nil { // printing it panicked as well
			text = errorText(fmt.Sprintf("panic: %T\n%s", why, stack[:min(len(stack), most)]))
		}
	}()
	return errorText(fmt.Sprintf("panic: %v\n\n%s", why, stack[:min(len(stack), most)]))
}

// Work handles jobs, one after the other, until ctx ends, which is no error: a Worker with a Concurrency of 1 and the
// queue's visibility timeout, of which handler gets ctx itself. A job that fails is retried in retryDelayS seconds. When
// ctx ends the job in hand is finished first; if handler returns an error then, the job is given back.
//
// An hour's outage uses up the attempts of many jobs if the delay is short. Database.NewWorker waits longer each time.
func (q *Queue) Work(ctx context.Context, worker string, retryDelayS int64, handler Handler) error {
	w := q.db.NewWorker(WorkerOptions{Queues: []WorkerQueue{{Name: q.name}}, Concurrency: 1})
	w.options.Name, w.options.VisibilityTimeoutS = worker, q.options.VisibilityTimeoutS // also if they are empty, or 0
	w.sync, w.retryDelayS = true, retryDelayS
	return w.Run(ctx, handler)
}
