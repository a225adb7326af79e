package honker

import (
	"context"
	"errors"
	"iter"
	"runtime"
)

// ClaimWaker waits for the jobs of a queue; made by Queue.ClaimWaker. It sleeps until something is committed, by anyone in any process, a
// delayed job becomes due or a claim lapses, and looks every five seconds in any case. It leaves claims alone: they are
// over after their time unless Job.Heartbeat extends them. Worker does that by itself.
type ClaimWaker struct {
	*waiting
	queue  *Queue
	using  turn // one goroutine at a time: others would claim as the wrong worker
	worker string
}

// ClaimWaker makes something to wait for jobs with. To be closed. One goroutine uses it at a time.
func (q *Queue) ClaimWaker() (*ClaimWaker, error) {
	w, err := q.db.newWaiting(calls.workerFree, nil)
	if err != nil {
		return nil, err
	}
	waker := &ClaimWaker{waiting: w, queue: q, using: make(turn, 1)}
	runtime.SetFinalizer(waker, func(waker *ClaimWaker) { waker.end() }) // only for those who forget
	return waker, nil
}

// Next claims the next job for worker, as Queue.ClaimOne does, or waits for one. It returns ctx.Err() when ctx ends, and
// ErrClosed when the waker or the database is closed; without an error there is a job.
func (c *ClaimWaker) Next(ctx context.Context, worker string) (*Job, error) {
	return c.next(ctx, worker, c.await)
}

func (c *ClaimWaker) next(ctx context.Context, worker string, await awaiting) (*Job, error) {
	jobs, err := c.claim(ctx, worker, 1, await)
	if err != nil {
		return nil, err
	}
	return jobs[0], nil
}

// awaiting is how to wait: waiting.await, or waiting.awaitThroughLocks.
type awaiting = func(ctx context.Context, look func() (bool, error)) error

// NextBatch claims up to n jobs in one commit, as soon as there is one; errors are as for Next. With an n of 0 or less it is no
// jobs, at once.
func (c *ClaimWaker) NextBatch(ctx context.Context, worker string, n int64) ([]*Job, error) {
	return c.claim(ctx, worker, n, c.await)
}

// Poll is NextBatch that does not wait.
func (c *ClaimWaker) Poll(worker string, n int64) ([]*Job, error) {
	if c.closed.Load() {
		return nil, c.isClosed()
	}
	return c.queue.ClaimBatch(worker, max(n, 0)) // without a limit is not what a negative number means here
}

func (c *ClaimWaker) claim(ctx context.Context, worker string, n int64, await awaiting) ([]*Job, error) {
	defer runtime.KeepAlive(c)
	if err := c.using.take(ctx); err != nil {
		return nil, err
	}
	defer c.using.leave()
	if c.consumer == 0 || c.worker != worker {
		opts := newWorkerOpts()
		opts.visibilityTimeoutS, opts.fallbackMS = c.queue.options.VisibilityTimeoutS, workerFallbackMS
		opts.heartbeat, opts.rescue = 0, 0
		if err := c.replace(c.db.newWorker([]WorkerQueue{{Name: c.queue.name}}, worker, opts)); err != nil {
			return nil, err
		}
		c.worker = worker
	}
	if n <= 0 {
		return nil, nil
	}
	var jobs []*Job
	err := await(ctx, func() (bool, error) {
		for {
			handle, status, err := c.native().workerNext(c.consumer, n, 0)
			if err != nil || status != statusOK {
				return false, err
			}
			// It may be that claims were lost, and nothing else: who holds those finds out on settling them.
			jobs, err = c.db.takeJobs(handle)
			if err != nil || len(jobs) > 0 {
				return true, err
			}
		}
	})
	return jobs, err
}

// Jobs claims jobs for worker, one after the other, and waits for them, also while somebody keeps the file locked, until
// ctx ends or the loop is left. An error is the last thing it gives. Each job has to be settled; one that is not goes to
// the next worker when its time is over.
//
//	for job, err := range queue.Jobs(ctx, "worker-1") {
//		if err != nil {
//			return err
//		}
//		...
//		if held, err := job.Ack(); err != nil || !held {
//			log.Println("the claim was lost", err)
//		}
//	}
func (q *Queue) Jobs(ctx context.Context, worker string) iter.Seq2[*Job, error] {
	return func(yield func(*Job, error) bool) {
		waker, err := q.ClaimWaker()
		if err != nil {
			yield(nil, err)
			return
		}
		defer waker.end()
		next := func(ctx context.Context) (*Job, error) { return waker.next(ctx, worker, waker.awaitThroughLocks) }
		each(ctx, next)(yield)
	}
}

// each gives what next returns until ctx ends, or with an error, which is the last.
func each[T any](ctx context.Context, next func(ctx context.Context) (*T, error)) iter.Seq2[*T, error] {
	return func(yield func(*T, error) bool) {
		for {
			one, err := next(ctx)
			if isEndOf(ctx, err) || !yield(one, err) || err != nil {
				return
			}
		}
	}
}

// isEndOf is whether err says that ctx has ended.
func isEndOf(ctx context.Context, err error) bool {
	return err != nil && errors.Is(err, ctx.Err())
}
