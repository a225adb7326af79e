package honker

import (
	"context"
	"encoding/json"
	"runtime"
	"time"
)

// OutboxOptions says how an outbox delivers. Zero means the default.
type OutboxOptions struct {
	// VisibilityTimeoutS is how many seconds a delivery may take before it goes to another worker. Default 60.
	VisibilityTimeoutS int64
	// MaxAttempts is how often delivery is tried. Default 5.
	MaxAttempts int64
	// BaseBackoffS is how many seconds the first retry waits; each further one waits twice as long as the one before.
	// Default 5; negative: no wait.
	BaseBackoffS int64
}

// Outbox delivers what was enqueued with it, for instance in the transaction of a business write; made by Database.Outbox. Any number
// of goroutines may use it.
type Outbox struct {
	queue   *Queue
	name    string
	deliver func(ctx context.Context, payload json.RawMessage) error
	options OutboxOptions
}

// Outbox is the outbox of that name, which is the queue "_outbox:" and the name. deliver is called with the payload of each job, as it was
// enqueued; if it returns an error it is called again later, and after MaxAttempts errors the job is among the dead, with the
// error's text. A deliver that is nil is ErrInvalid.
func (db *Database) Outbox(name string, deliver func(ctx context.Context, payload json.RawMessage) error, options OutboxOptions) (*Outbox, error) {
	if deliver == nil {
		return nil, invalid(nil, "the outbox %q has no function that delivers", name)
	}
	options.VisibilityTimeoutS = orDefault(options.VisibilityTimeoutS, 60)
	options.MaxAttempts = orDefault(options.MaxAttempts, 5)
	options.BaseBackoffS = orDefault(options.BaseBackoffS, 5)
	queue := db.Queue("_outbox:"+name, QueueOptions{options.VisibilityTimeoutS, options.MaxAttempts})
	return &Outbox{queue: queue, name: name, deliver: deliver, options: options}, nil
}

// Name is the name of the outbox.
func (o *Outbox) Name() string { return o.name }

// Queue is the queue behind it.
func (o *Outbox) Queue() *Queue { return o.queue }

// Enqueue adds a job, as Queue.Enqueue does.
func (o *Outbox) Enqueue(payload any, options EnqueueOptions) (int64, error) {
	return o.queue.Enqueue(payload, options)
}

// EnqueueTx is Enqueue as a part of a transaction.
func (o *Outbox) EnqueueTx(tx *Transaction, payload any, options EnqueueOptions) (int64, error) {
	return o.queue.EnqueueTx(tx, payload, options)
}

// outboxWorker claims what is to be delivered.
type outboxWorker struct {
	*waiting
	outbox *Outbox
	worker string
}

func (o *Outbox) newWorker(worker string) (*outboxWorker, error) {
	db := o.queue.db
	opts := newOutboxOpts()
	opts.visibilityTimeoutS, opts.baseBackoffS = o.options.VisibilityTimeoutS, o.options.BaseBackoffS
	opts.fallbackMS = workerFallback.Milliseconds()
	w, err := db.newWaiting(calls.outboxFree, func(waiter uintptr) (uintptr, error) {
		outbox, _, err := db.native().outboxNew(db.handle, waiter, view(o.name), view(worker), opts)
		return outbox, err
	})
	return &outboxWorker{w, o, worker}, err
}

// next claims a job; nil and until when to wait if there is none.
func (w *outboxWorker) next() (*Job, pause, error) {
	second := time.Now().Unix()
	handle, status, err := w.native().outboxNext(w.consumer, 0)
	if err == nil && status == statusOK {
		jobs, err := w.db.takeJobs(handle, w.outbox.queue.name, w.worker)
		if err != nil {
			return nil, pause{}, err
		}
		return jobs[0], pause{}, nil
	}
	if err != nil {
		return nil, pause{}, err
	}
	at, err := w.outbox.queue.NextClaimAt()
	if err == nil && time.Now().Unix() != second {
		at = second // as for ClaimWaker
	}
	return nil, pause{at: at, after: workerFallback}, err
}

// handle delivers a job, and settles it unless ctx has ended: then its claim lapses.
func (w *outboxWorker) handle(ctx context.Context, job *Job) error {
	failure := w.outbox.deliver(ctx, job.Payload)
	if failure != nil && ctx.Err() != nil {
		return nil
	}
	for {
		var err error
		if failure == nil {
			_, err = w.native().outboxDelivered(w.consumer, job.ID)
		} else {
			_, err = w.native().outboxFailed(w.consumer, job.ID, job.Attempts, view(errorText(failure.Error())))
		}
		if !isBusy(err) || ctx.Err() != nil {
			return err
		}
	}
}

// RunOnce delivers one job if there is one to deliver now; whether there was. What deliver returns is no error of RunOnce's.
func (o *Outbox) RunOnce(ctx context.Context, worker string) (bool, error) {
	w, err := o.newWorker(worker)
	if err != nil {
		return false, err
	}
	defer w.end()
	job, _, err := w.next()
	if job == nil {
		return false, err
	}
	return true, w.handle(ctx, job)
}

// RunWorker delivers, one job after the other, until ctx ends, which is no error. If ctx ends during a delivery, and deliver
// returns an error, the job is left to the end of its time. RunWorker tries again while somebody keeps the file locked;
// any other error ends it.
func (o *Outbox) RunWorker(ctx context.Context, worker string) error {
	w, err := o.newWorker(worker)
	if err != nil {
		return err
	}
	defer w.end()
	defer runtime.KeepAlive(w)
	for {
		var job *Job
		_, err := w.await(ctx, func() (bool, pause, error) {
			var until pause
			var err error
			job, until, err = w.next()
			return job != nil, until, err
		})
		if job != nil && err == nil {
			err = w.handle(ctx, job)
		} else if err == nil {
			return nil
		}
		if err != nil && !(isBusy(err) && ctx.Err() == nil) {
			return err
		}
	}
}
