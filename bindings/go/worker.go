package honker

import (
	"context"
	"log/slog"
	"math"
	"slices"
	"sync/atomic"
	"time"
)

// WorkerQueue is a queue that a worker claims from.
type WorkerQueue struct {
	Name string
	// Handler does its jobs. Default: the handler that Run is given.
	Handler Handler
	// Weight is how often the queue is asked first, compared with the others; places that it cannot fill go to them.
	// Default 1. A negative one is no weight: asked after the others, and if none has one, in the order given.
	Weight int64
	// MaxInHand is how many of its jobs may run at once. Default: as many as the worker runs.
	MaxInHand int64
}

// concurrencyMax is the most that WorkerOptions.Concurrency may be.
const concurrencyMax = 1_000_000

// WorkerOptions says how a worker works. Zero means the default.
type WorkerOptions struct {
	// Queues are the queues to work on, at least one.
	Queues []WorkerQueue
	// Concurrency is how many jobs run side by side, at most 1,000,000. Default 10.
	Concurrency int
	// Name is the worker id. Must be unique. Default: host, process and a random number. Jobs show it with an @ and 32 digits behind
	// it: with them, the jobs of a process that dies are given to others at once, and not only after VisibilityTimeout.
	Name string
	// VisibilityTimeout is for how long a claim outlives a worker that died, where nobody sees that its process has. Default 5 minutes.
	// The worker extends the claims of jobs that run. This, MaxRun and the delays of retries are whole seconds, rounded up.
	VisibilityTimeout time.Duration
	// MaxRun is how long a job may run, which is the deadline of its context; then that ends, and the job is retried,
	// or dead after its last attempt. Default: without limit. EnqueueOptions.MaxRunS goes before it. RunDue does not look at it.
	MaxRun time.Duration
	// A job that failed for the nth time is retried after RetryBase·RetryFactor^(n-1), at most RetryMax, give or take a share
	// of RetryJitter. Defaults 15 s, 2, an hour, 0.1; a negative RetryBase is no wait, a negative jitter none. What
	// QueueUpdate.Retry has set for the queue goes before it.
	RetryBase   time.Duration
	RetryMax    time.Duration
	RetryFactor float64
	RetryJitter float64
	// StopTimeout is how long jobs that run may go on when the worker is told to stop, before their context ends.
	// Default 8 s, to be done within the 10 s that Docker gives; negative: no time.
	StopTimeout time.Duration
	// NoSignals leaves SIGTERM and SIGINT to the program. Otherwise the first one stops the worker, as the end of its
	// context does; the second one does not wait for jobs.
	NoSignals bool
	// Schedules are added to the file when the worker starts, as Scheduler.Add does, and fired while it runs: Scheduler.Run
	// stands beside it, and stops with it. The schedules that are in the file already are fired as well. An expression that
	// cannot be parsed is an error of Run; what fails later is logged, and tried again. RunDue leaves schedules alone.
	Schedules []ScheduledTask
	// Middleware stands around each handler, the first one outermost.
	Middleware []Middleware
	// OnError is told of each failure, beside the log: in the handler's goroutine, with the job's context, and after the
	// handler. A panic of the handler is a *PanicError, also one after its context had ended. A job that ran for too long is
	// ErrJobTimeout: that is told while the handler may still run, in a goroutine of its own, with the worker's context and a
	// copy of the job, of which Payload and Metadata are shared; Run waits 1.5 s for it at the end. What OnError panics with
	// itself is logged.
	OnError func(ctx context.Context, job *Job, err error)
	// Logger is told of failures, and of what the worker cannot do. Default: what slog.Default() is when Run begins.
	Logger *slog.Logger
	// Open says how to open the file, and LibraryPath with which library, where the worker does that: NewWorker.
	Open        OpenOptions
	LibraryPath string
}

// Handler does a job. If it returns nil the job is done. If it returns an error, panics or ends its goroutine, the job is
// retried, with the text of that, as the worker's options say, and is among the dead after its last attempt. Snooze,
// RetryAfter and Discard make errors that say what is to become of the job instead. A handler may also settle the job
// itself, in a transaction for instance.
//
// ctx ends when the claim was lost, when the worker has to stop, or when the database is closed; context.Cause says which:
// ErrJobGone, ErrJobLapsed, ErrJobTaken, ErrJobTimeout (also context.DeadlineExceeded), ErrStopping, ErrClosed, or ErrWatcher
// when the file was replaced. A job that fails after its context has ended is given back when the worker stops, and that attempt does not count.
type Handler = func(ctx context.Context, job *Job) error

// Middleware makes a Handler of one, around which it stands.
type Middleware = func(next Handler) Handler

// Worker runs the jobs of some queues; made by NewWorker or Database.NewWorker.
type Worker struct {
	db      *Database // nil: the worker opens the file itself
	path    string
	options WorkerOptions
	native  *workerOpts // the same for the library
	running atomic.Bool

	// What Queue.Work and Outbox do otherwise.
	sync        bool  // the handler's context ends with the worker's, and the handler may take its time
	retryDelayS int64 // noTime: as the backoff says
}

// NewWorker makes a worker that opens the file at path, or the URL of a server, when it runs, and waits for it as long as there is none.
func NewWorker(path string, options WorkerOptions) *Worker {
	options.Concurrency = orDefault(options.Concurrency, 10)
	options.StopTimeout = max(orDefault(options.StopTimeout, 8*time.Second), 0)
	options.Name = orDefault(options.Name, workerName())
	native := newWorkerOpts()
	native.visibilityTimeoutS = orDefault(wholeSeconds(options.VisibilityTimeout), native.visibilityTimeoutS)
	native.maxRunS = orDefault(wholeSeconds(options.MaxRun), native.maxRunS)
	native.retryBaseS = orDefault(wholeSeconds(options.RetryBase), native.retryBaseS)
	native.retryMaxS = orDefault(wholeSeconds(options.RetryMax), native.retryMaxS)
	native.retryFactor = orDefault(options.RetryFactor, native.retryFactor)
	native.retryJitter = max(orDefault(options.RetryJitter, native.retryJitter), 0)
	return &Worker{path: path, options: options, native: native, retryDelayS: noTime}
}

// NewWorker makes a worker. Several may run in a process.
func (db *Database) NewWorker(options WorkerOptions) *Worker {
	options.Open = db.options
	w := NewWorker(db.path, options)
	w.db = db
	return w
}

// Run runs jobs until ctx ends, or SIGTERM or SIGINT comes, which is no error. Then it claims nothing more, and lets those
// that run finish for StopTimeout; then it ends their contexts, and gives back what has not finished 1.5 s later. If a
// handler has not returned even then, that is an error: its goroutine still runs.
//
// What may pass by itself (a locked file, a full disk, no file yet) is logged once, and Run tries again, with growing
// distances. When the file is replaced the contexts of the jobs that run end, what they did cannot be settled any more, and
// Run opens the new file, with the same options; Job.Database is the database that a job is from. Run ends with other
// errors, and with ErrClosed. A process that dies leaves its jobs to whoever claims them when their time is over.
//
// handler, of which there may be one, does the jobs of the queues that have none of their own. A queue without any is
// ErrInvalid.
func (w *Worker) Run(ctx context.Context, handler ...Handler) error {
	r, err := w.begin(ctx, handler)
	if err != nil {
		return err
	}
	defer r.close()
	return r.run()
}

// RunDue runs the jobs that are due, one after the other, in this goroutine, until there is none or ctx ends; how many that were.
// One that is due again at once, after Snooze(0) for instance, is run again. For tests, and for programs that something else
// starts when there is work. An error, also one that may pass, ends it; so does ctx, whose error it then is. handler is as for
// Run.
func (w *Worker) RunDue(ctx context.Context, handler ...Handler) (int, error) {
	return w.runDue(ctx, handler, -1)
}

func (w *Worker) runDue(ctx context.Context, handler []Handler, most int) (int, error) {
	r, err := w.begin(ctx, handler)
	if err != nil {
		return 0, err
	}
	defer r.close()
	r.inline = true
	if err := r.connect(); err != nil {
		return 0, err
	}
	for r.started != most && ctx.Err() == nil {
		before := r.started
		if _, err := r.turn(); err != nil {
			return r.started, err
		}
		if r.started == before {
			break
		}
	}
	r.stopping = true
	if err := r.settleRest(); err != nil || r.started == most {
		return r.started, err
	}
	return r.started, ctx.Err()
}

// begin begins a run.
func (w *Worker) begin(ctx context.Context, handler []Handler) (*workerRun, error) {
	if w.options.Concurrency < 0 || w.options.Concurrency > concurrencyMax {
		return nil, invalid(nil, "Concurrency is %d, not 1 to %d", w.options.Concurrency, concurrencyMax)
	}
	handlers, err := w.handlers(handler)
	if err != nil {
		return nil, err
	}
	if w.running.Swap(true) {
		return nil, newError(StatusMisuse, "the worker %q runs already", w.options.Name)
	}
	log := orDefault(w.options.Logger, slog.Default()).With("worker", w.options.Name)
	return &workerRun{Worker: w, ctx: ctx, handlers: handlers, current: w.db, log: log, failing: pauses{log: log, who: "the worker", passes: isTransient},
		hand: map[int64]*inHand{}, failed: map[int64]*inHand{}, finished: make(chan *inHand, w.options.Concurrency)}, nil
}

// handlers are the handlers by queue, with the middleware around them; given is what Run was given.
func (w *Worker) handlers(given []Handler) (map[string]Handler, error) {
	if len(given) > 1 {
		return nil, invalid(nil, "a worker takes one handler beside those of its queues, not %d", len(given))
	}
	handlers := map[string]Handler{}
	for _, queue := range w.options.Queues {
		handler := queue.Handler
		if handler == nil && len(given) > 0 {
			handler = given[0]
		}
		if handler == nil {
			return nil, invalid(nil, "the queue %q has no handler", queue.Name)
		}
		for _, around := range slices.Backward(w.options.Middleware) {
			handler = around(handler)
		}
		handlers[queue.Name] = handler
	}
	return handlers, nil
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
		return valueOf(db.native().workerNew(db.handle, waiter, token, native, view(name), opts))
	}
}

// Work handles jobs, one after the other, until ctx ends, which is no error: a Worker with a Concurrency of 1 and the
// queue's visibility timeout, of which handler gets ctx itself, and which leaves signals alone. A job that fails is retried after
// retryDelay, in whole seconds, rounded up. When ctx ends the job in hand is finished first; if handler returns an error then, the job is given back.
//
// An hour's outage uses up the attempts of many jobs if the delay is short. Database.NewWorker waits longer each time.
func (q *Queue) Work(ctx context.Context, worker string, retryDelay time.Duration, handler Handler) error {
	w := q.db.NewWorker(WorkerOptions{Queues: []WorkerQueue{{Name: q.name}}, Concurrency: 1, NoSignals: true})
	w.options.Name, w.native.visibilityTimeoutS = worker, q.options.VisibilityTimeoutS // also if they are empty, or 0
	w.sync, w.retryDelayS = true, max(wholeSeconds(retryDelay), 0)
	return w.Run(ctx, handler)
}

// backoffS is in how many seconds the library retries a job of a queue for which nothing else is set, but for the jitter.
func (w *Worker) backoffS(attempts int64) int64 {
	return QueueRetry{BaseS: &w.native.retryBaseS, Factor: &w.native.retryFactor, MaxS: &w.native.retryMaxS}.backoffS(attempts)
}

func (r QueueRetry) backoffS(attempts int64) int64 {
	if *r.BaseS <= 0 {
		return 0
	}
	backoffS := float64(*r.BaseS) * math.Pow(*r.Factor, float64(max(attempts, 1)-1))
	if backoffS < float64(*r.MaxS) {
		return int64(backoffS)
	}
	return max(*r.MaxS, 0)
}
