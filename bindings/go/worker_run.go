package honker

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/signal"
	"slices"
	"sync"
	"syscall"
	"time"
)

// cancelTimeout is how long handlers have to return once their context has ended.
const cancelTimeout = 1500 * time.Millisecond

// settleTimeout is for how long a worker that ends tries to settle what is finished; a variable for tests.
var settleTimeout = 5 * time.Second

// workerRun is one Run. Its goroutine alone uses it; handlers have goroutines of their own, and tell it by finished.
type workerRun struct {
	*Worker
	ctx      context.Context
	handlers map[string]Handler // by queue, with the middleware around them
	log      *slog.Logger
	inline   bool // handlers run in the run's own goroutine

	current    *Database // nil: to be opened
	consumer   *waiting  // nil: to be made
	interrupts uint64

	hand     map[int64]*inHand // what handlers run for, by serial
	orphans  int               // how many handlers still run for jobs of a file that was replaced
	settled  []settlement      // what has to be settled
	failed   map[int64]*inHand // what of that is a failure, by serial
	reports  sync.WaitGroup    // the OnErrors that run beside their handlers
	finished chan *inHand      // there is room for each, so that handlers end whether or not anybody receives

	stopping bool             // nothing is claimed any more
	why      string           // the run ends
	result   error            // what it ends with
	deadline <-chan time.Time // when StopTimeout, or then cancelTimeout, is over
	canceled bool             // the contexts have ended because of that
	hurried  bool             // a second signal has come
	stuck    <-chan time.Time // when handlers of jobs that were lost should have returned

	again   <-chan time.Time // when to try again after an error; nil if there was none
	failing pauses

	schedules *firing // nil: none is fired

	started                                int // jobs
	done, snoozed, retried, dead, released int // what became of them, as their handlers said
}

// close ends what a run has made.
func (r *workerRun) close() {
	r.logUnsettled()
	r.disconnect()
	r.running.Store(false)
}

// run runs jobs until the end, and says in one line what that left.
func (r *workerRun) run() error {
	queues := make([]string, len(r.options.Queues))
	for i, queue := range r.options.Queues {
		queues[i] = queue.Name
	}
	r.log.Info("honker: the worker has begun", "queues", queues, "concurrency", r.options.Concurrency)
	err := r.loop()
	r.logUnsettled()
	running := len(r.hand) + r.orphans
	attrs := []any{"why", r.why, "done", r.done, "snoozed", r.snoozed, "retried", r.retried, "dead", r.dead, "released", r.released,
		"running", running}
	if err != nil {
		attrs = append(attrs, "error", err)
	}
	r.log.Info("honker: the worker has ended", attrs...)
	r.awaitReports()
	switch {
	case running > 0 && r.hurried:
		err = errors.Join(err, fmt.Errorf("honker: the second signal left %d handlers no time to return; they still run", running))
	case running > 0:
		err = errors.Join(err, fmt.Errorf("honker: %d handlers ignored that their context had ended, and still run", running))
	}
	return err
}

func (r *workerRun) loop() error {
	signals := make(chan os.Signal, 2)
	if !r.options.NoSignals {
		for _, one := range []os.Signal{os.Interrupt, syscall.SIGTERM} {
			if !signal.Ignored(one) {
				signal.Notify(signals, one)
			}
		}
		defer signal.Stop(signals)
	}
	signalled, ctxEnded := false, r.ctx.Done()
	var closed <-chan struct{}
	if r.db != nil {
		closed = r.db.context.Done()
	}
	for {
		if r.again == nil {
			more, err := r.step()
			switch {
			case err == nil:
			case errors.Is(err, ErrWatcher):
				r.replaced(err)
			case errors.Is(err, ErrInterrupted):
				r.interrupts, r.result = r.current.interrupts.Load(), err
				r.stop("Interrupt")
			case !r.pause(err):
				return r.giveUp(err)
			}
			if more || err != nil && r.again == nil {
				r.collect()
				continue
			}
		}
		if r.stopping && len(r.hand)+r.orphans == 0 {
			return errors.Join(r.result, r.settleRest())
		}
		var woken, ended, over <-chan struct{}
		if r.consumer != nil {
			woken, ended, over = r.consumer.woken, r.consumer.ended, r.consumer.dispatcher.done
		}
		select {
		case one := <-r.finished:
			r.finish(one)
			r.collect()
		case <-woken:
		case <-r.again:
			r.again = nil
		case <-ctxEnded:
			ctxEnded = nil
			r.stop("its context has ended")
		case one := <-signals:
			if signalled {
				r.hurried = true
				r.cancel()
				return r.release()
			}
			signalled = true
			r.stop(one.String())
		case <-r.stuck:
			r.sayIfStuck()
		case <-r.deadline:
			if r.canceled {
				return r.release()
			}
			r.cancel()
		case <-closed:
			return r.giveUp(r.db.isClosed())
		case <-ended:
			return r.giveUp(r.consumer.isClosed())
		case <-over:
			err := r.consumer.isOver()
			if !errors.Is(err, ErrWatcher) {
				return r.giveUp(err)
			}
			r.replaced(err)
		}
	}
}

// step does what can be done now. True if there may be more.
func (r *workerRun) step() (bool, error) {
	switch {
	case r.consumer != nil:
		return r.turn()
	case r.stopping || r.ctx.Err() != nil:
		return false, nil
	}
	return true, r.connect()
}

// connect opens the file, if need be, and makes the worker of the library's.
func (r *workerRun) connect() (err error) {
	if r.current == nil {
		if _, err := os.Stat(r.path); !isURL(r.path) && errors.Is(err, fs.ErrNotExist) {
			return newError(StatusCannotOpen, "there is no file %s", r.path) // opening would make an empty one
		}
		if r.db != nil {
			r.current, err = r.db.lib.open(r.path, r.options.Open)
		} else {
			r.current, err = OpenWithOptions(r.path, r.options.LibraryPath, r.options.Open)
		}
		if err != nil {
			return err
		}
	}
	r.interrupts = r.current.interrupts.Load()
	if err = r.addSchedules(); err != nil {
		return err
	}
	newWorker := r.current.newWorker(r.options.Queues, r.options.Name, r.native)
	if r.consumer, err = r.current.newWaiting(calls.workerFree, newWorker); err != nil {
		return err
	}
	return r.startSchedules()
}

// disconnect is the opposite of connect; the caller's database it leaves open.
func (r *workerRun) disconnect() {
	r.endSchedules()
	if r.consumer != nil {
		r.consumer.end()
		r.consumer = nil
	}
	if r.current != nil && r.current != r.db {
		_ = r.current.Close()
	}
	r.current = nil
}

// replaced leaves a file that was replaced. What its jobs' handlers do, nobody can settle.
func (r *workerRun) replaced(err error) {
	r.log.Warn("honker: the file was replaced; the worker goes on with the new one", "path", r.path, "running", len(r.hand),
		"unsettled", len(r.settled), "error", err)
	for _, one := range r.hand {
		one.lost, one.orphan = true, true
		one.job.shared.lost.Store(true)
		one.cancel(err)
	}
	r.orphans += len(r.hand)
	r.stuck = time.After(cancelTimeout)
	clear(r.hand)
	r.settled = nil
	r.logUnsettled()
	r.disconnect()
}

// turn settles what is finished, claims what there is room for, and starts handlers. True if there may be more.
func (r *workerRun) turn() (bool, error) {
	if r.current.interrupts.Load() != r.interrupts {
		return false, newError(StatusInterrupted, "ended by Interrupt")
	}
	n := r.options.Concurrency - len(r.hand) - r.orphans
	switch {
	case r.stopping || r.ctx.Err() != nil:
		n = 0
	case r.inline:
		n = 1
	}
	for i := range r.settled {
		r.settled[i].status = StatusClosedHandle // what it stays if the consumer is closed: then there is no call
	}
	handle, status, err := r.consumer.native().workerSettleNext(r.consumer.consumer, r.settled, int64(n), 0)
	failed := status < 0 || status == statusClosed
	if !failed || slices.ContainsFunc(r.settled, func(one settlement) bool { return one.status != status }) { // it is committed
		r.settled = r.afterSettling(err)
	}
	if failed {
		return false, err
	}
	r.failing.over()
	if status != statusOK {
		return false, nil
	}
	refused := err != nil
	lost, err := r.current.lostJobs(handle)
	jobs, err2 := r.current.takeJobs(handle)
	if err = errors.Join(err, err2); err != nil {
		return false, err
	}
	for _, one := range lost {
		r.lose(one)
	}
	for _, job := range jobs {
		r.start(job)
	}
	// With all that it was asked for the library waits for what becomes of it, as it does with nothing.
	isFull := n > 0 && len(jobs) == n && len(lost) == 0 && !refused
	return !isFull || r.inline, nil
}

// afterSettling logs the failures that have been settled. A job of which the settlement was refused by itself, by a trigger for
// instance, is retried, with the reason. If that was refused, it is left alone, and run again when its claim, which is not
// extended, is over.
func (r *workerRun) afterSettling(reason error) (again []settlement) {
	for _, one := range r.settled {
		failure := r.failed[one.serial]
		switch {
		case one.status >= 0:
			if failure != nil {
				r.logFailure(failure, one)
			}
			delete(r.failed, one.serial)
		case one.kind == settleRetry:
			_, err := r.consumer.native().workerSettled(r.consumer.consumer, one.id, one.serial)
			attrs := []any{"job", one.id}
			if failure != nil {
				attrs = failure.failureAttrs()
			}
			r.log.Error("honker: a job cannot be settled, and is run again when its claim is over", append(attrs, "refused", errors.Join(reason, err))...)
			delete(r.failed, one.serial)
		default:
			r.log.Error("honker: a job cannot be settled, and is retried", "job", one.id, "refused", reason)
			text := errorText(fmt.Sprintf("it could not be settled: %v", reason))
			again = append(again, settlement{id: one.id, serial: one.serial, kind: settleRetry, delayS: noTime, error: view(text)})
		}
	}
	return again
}

// stop begins to stop.
func (r *workerRun) stop(why string) {
	if r.stopping {
		return
	}
	r.stopping, r.why, r.again = true, why, nil
	if r.schedules != nil {
		r.schedules.cancel()
	}
	if !r.sync {
		r.deadline = time.After(r.options.StopTimeout)
	}
}

// cancel ends the contexts of what runs, because the worker stops.
func (r *workerRun) cancel() {
	r.canceled = true
	for _, one := range r.hand {
		one.cancel(ErrStopping)
	}
	r.deadline = time.After(cancelTimeout)
}

// release gives back what still runs, and settles what does not.
func (r *workerRun) release() error {
	r.collect() // those that have just returned
	for serial, one := range r.hand {
		if !one.lost {
			r.settled = append(r.settled, settlement{id: one.job.ID, serial: serial, kind: settleRelease})
			r.released++
		}
	}
	return errors.Join(r.result, r.settleRest())
}

// settleRest settles what is finished, at the end. Errors that may pass it waits out, but not for ever.
func (r *workerRun) settleRest() error {
	for deadline := time.Now().Add(settleTimeout); len(r.settled) > 0; {
		_, err := r.turn()
		switch {
		case err == nil:
		case errors.Is(err, ErrWatcher):
			r.replaced(err)
		case errors.Is(err, ErrInterrupted):
			r.interrupts = r.current.interrupts.Load()
		case !r.pause(err) || time.Now().After(deadline):
			return err
		default:
			<-r.again
			r.again = nil
		}
	}
	return nil
}

// giveUp ends a run that cannot go on.
func (r *workerRun) giveUp(err error) error {
	r.why = orDefault(r.why, "an error")
	for _, one := range r.hand {
		one.lost = true
		one.cancel(err)
	}
	var deadline <-chan time.Time
	if !r.sync {
		deadline = time.After(cancelTimeout)
	}
	for len(r.hand)+r.orphans > 0 {
		select {
		case one := <-r.finished:
			r.finish(one)
		case <-deadline:
			return err
		}
	}
	return err
}

// pause is true for an error that may pass by itself, and then says when to try again.
func (r *workerRun) pause(err error) bool {
	// Claims are not extended meanwhile, so that it has to be short beside the visibility timeout.
	longest := time.Duration(min(max(r.native.visibilityTimeoutS, 1), 60)) * time.Second / 6
	if r.stopping {
		longest = 500 * time.Millisecond
	}
	r.again = r.failing.after(err, longest)
	return r.again != nil
}
