package honker

import (
	"context"
	"encoding/json"
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

// worker is what delivers, under the name that it was given. It leaves claims alone: VisibilityTimeoutS is how long a delivery may take.
func (o *Outbox) worker(name string) *Worker {
	w := o.queue.db.NewWorker(WorkerOptions{Queues: []WorkerQueue{{Name: o.queue.name, Handler: o.handle}}, Concurrency: 1, NoSignals: true})
	w.options.Name, w.sync = name, true
	w.native.visibilityTimeoutS, w.native.heartbeat, w.native.rescue = o.options.VisibilityTimeoutS, 0, 0
	w.native.retryBaseS, w.native.retryMaxS, w.native.retryJitter = o.options.BaseBackoffS, longestBackoffS, 0
	return w
}

// longestBackoffS is a thousand years: doubling has no end of its own.
const longestBackoffS = 1000 * 366 * 86_400

func (o *Outbox) handle(ctx context.Context, job *Job) error { return o.deliver(ctx, job.Payload) }

// RunOnce delivers one job, in this goroutine, if there is one to deliver now; whether there was. What deliver returns is no
// error of RunOnce's.
func (o *Outbox) RunOnce(ctx context.Context, worker string) (bool, error) {
	ran, err := o.worker(worker).runDue(ctx, nil, 1)
	return ran > 0, err
}

// RunWorker delivers, one job after the other, until ctx ends, which is no error. If deliver returns an error after ctx has
// ended, the job is given back, and that attempt does not count. A deliver that panics has failed.
//
// What may pass by itself, and a file that was replaced, it treats as Worker.Run does; other errors end it.
func (o *Outbox) RunWorker(ctx context.Context, worker string) error {
	return o.worker(worker).Run(ctx)
}
