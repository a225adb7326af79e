package honker

import (
	"context"
	"iter"
	"runtime"
	"sync"
	"time"
)

// ClaimWaker waits for the jobs of a queue; made by Queue.ClaimWaker. It sleeps until something is committed, by anyone in any process, a
// delayed job becomes due or a claim lapses, and looks every five seconds in any case.
type ClaimWaker struct {
	*waiting
	queue  *Queue
	using  sync.Mutex // one goroutine at a time: others would claim as the wrong worker
	worker string
}

// ClaimWaker makes something to wait for jobs with. To be closed. One goroutine uses it at a time.
func (q *Queue) ClaimWaker() (*ClaimWaker, error) {
	w, err := q.db.newWaiting(calls.workerFree, func(uintptr) (uintptr, error) { return 0, nil })
	if err != nil {
		return nil, err
	}
	waker := &ClaimWaker{waiting: w, queue: q}
	runtime.SetFinalizer(waker, func(waker *ClaimWaker) { waker.end() }) // only for those who forget
	return waker, nil
}

// Next claims the next job for worker, as Queue.ClaimOne does, or waits for one. nil, and no error, when ctx ends;
// ErrClosed when the waker or the database is closed.
func (c *ClaimWaker) Next(ctx context.Context, worker string) (*Job, error) {
	jobs, err := c.NextBatch(ctx, worker, 1)
	if err != nil || len(jobs) == 0 {
		return nil, err
	}
	return jobs[0], nil
}

// NextBatch claims up to n jobs in one commit, as soon as there is one. With an n of 0 or less it is no jobs, at once.
func (c *ClaimWaker) NextBatch(ctx context.Context, worker string, n int64) ([]*Job, error) {
	_, jobs, err := c.settleNext(ctx, worker, nil, n)
	return jobs, err
}

// Poll is NextBatch that does not wait.
func (c *ClaimWaker) Poll(worker string, n int64) ([]*Job, error) {
	if c.closed.Load() {
		return nil, c.isClosed()
	}
	return c.queue.ClaimBatch(worker, max(n, 0)) // without a limit is not what a negative number means here
}

// settleNext settles a job, if there is one, and claims the next ones in the same commit, or waits for them. Whether the job was
// held. Once it has been settled an error is one of the waiting.
func (c *ClaimWaker) settleNext(ctx context.Context, worker string, settled []settlement, n int64) (bool, []*Job, error) {
	defer runtime.KeepAlive(c)
	c.using.Lock()
	defer c.using.Unlock()
	if c.consumer == 0 || c.worker != worker {
		if err := c.become(worker); err != nil {
			return false, nil, err
		}
	}
	var handle uintptr
	held := false
	look := func() (bool, pause, error) {
		second := time.Now().Unix()
		jobs, status, err := c.native().workerSettleNext(c.consumer, settled, n, 0)
		handle = jobs
		if settled != nil && status >= 0 {
			held, settled = settled[0].status == statusOK, nil
		}
		if err != nil || status == statusOK {
			return err == nil, pause{}, err
		}
		at, err := c.queue.NextClaimAt()
		if err == nil && time.Now().Unix() != second {
			at = second // what became due between the two looks is in neither answer: look again
		}
		return false, pause{at: at, after: workerFallback}, err
	}
	// What is to be settled is settled also when ctx has ended, but nothing is claimed then.
	if settled != nil && ctx.Err() != nil {
		n = 0
		found, _, err := look()
		if found {
			c.db.native().jobsFree(handle)
		}
		return held, nil, err
	}
	found, err := c.await(ctx, look)
	if !found || handle == 0 {
		return held, nil, err
	}
	jobs, err := c.db.takeJobs(handle, c.queue.name, worker)
	return held, jobs, err
}

func (c *ClaimWaker) become(worker string) error {
	c.worker = worker
	opts := newWorkerOpts()
	opts.visibilityTimeoutS, opts.fallbackMS = c.queue.options.VisibilityTimeoutS, workerFallback.Milliseconds()
	return c.replace(func(waiter uintptr) (uintptr, error) {
		handle, _, err := c.db.native().workerNew(c.db.handle, waiter, view(c.queue.name), view(worker), opts)
		return handle, err
	})
}

// Jobs claims jobs for worker, one after the other, and waits for them, until ctx ends or the loop is left. An error
// is the last thing it gives. Each job has to be settled; one that is not goes to the next worker when its time is
// over.
//
//	for job, err := range queue.Jobs(ctx, "worker-1") {
//		if err != nil { return err }
//		...
//		job.Ack()
//	}
func (q *Queue) Jobs(ctx context.Context, worker string) iter.Seq2[*Job, error] {
	return func(yield func(*Job, error) bool) {
		waker, err := q.ClaimWaker()
		if err != nil {
			yield(nil, err)
			return
		}
		defer waker.end()
		each(func() (*Job, error) { return waker.Next(ctx, worker) })(yield)
	}
}

// each gives what next returns until that is nil or an error.
func each[T any](next func() (*T, error)) iter.Seq2[*T, error] {
	return func(yield func(*T, error) bool) {
		for {
			one, err := next()
			if one == nil && err == nil || !yield(one, err) || err != nil {
				return
			}
		}
	}
}

// Work handles jobs, one after the other, until ctx ends, which is no error. If handler returns nil the job is done, and acked
// in the same commit that claims the next one; if it returns an error the job is retried in retryDelayS seconds, with the
// error's text. handler may settle the job itself, and has to prolong a claim that would lapse; what it did to a job
// that is not the worker's any more is passed over. The job in hand is finished first: handler may look at its ctx.
//
// Work tries again while somebody keeps the file locked. Any other error ends it, and leaves the job in hand to the end of its time, as a
// crash does.
func (q *Queue) Work(ctx context.Context, worker string, retryDelayS int64, handler func(ctx context.Context, job *Job) error) error {
	if handler == nil {
		return invalid(nil, "the handler is nil")
	}
	waker, err := q.ClaimWaker()
	if err != nil {
		return err
	}
	defer waker.end()
	var settled []settlement
	for {
		_, jobs, err := waker.settleNext(ctx, worker, settled, 1)
		switch {
		case isBusy(err) && ctx.Err() == nil:
			continue // nothing was done; the library has waited for the busy timeout
		case err != nil || len(jobs) == 0:
			return err
		}
		settled = []settlement{{kind: settleAck, id: jobs[0].ID}}
		if err := handler(ctx, jobs[0]); err != nil {
			settled = []settlement{{kind: settleRetry, id: jobs[0].ID, delayS: retryDelayS, error: view(errorText(err.Error()))}}
		}
	}
}
