package honker

import "context"

// TypedQueue is a queue whose payloads are what encoding/json makes of an Args. Other languages see that JSON.
type TypedQueue[Args any] struct {
	// Queue is the same queue, whatever its payloads are.
	Queue *Queue
}

// NewTypedQueue is the queue of that name, as Database.Queue is.
func NewTypedQueue[Args any](db *Database, name string, options QueueOptions) *TypedQueue[Args] {
	return &TypedQueue[Args]{db.Queue(name, options)}
}

// Enqueue adds a job, as Queue.EnqueueContext does.
func (q *TypedQueue[Args]) Enqueue(ctx context.Context, args Args, options EnqueueOptions) (int64, error) {
	return q.Queue.EnqueueContext(ctx, args, options)
}

// EnqueueWith is Enqueue that also says what has come of it, as Queue.EnqueueWith does.
func (q *TypedQueue[Args]) EnqueueWith(ctx context.Context, args Args, options EnqueueOptions) (EnqueueResult, error) {
	return q.Queue.EnqueueWith(ctx, args, options)
}

// EnqueueWithTx is EnqueueWith as a part of a transaction.
func (q *TypedQueue[Args]) EnqueueWithTx(tx *Transaction, args Args, options EnqueueOptions) (EnqueueResult, error) {
	return q.Queue.EnqueueWithTx(tx, args, options)
}

// EnqueueTx is Enqueue as a part of a transaction.
func (q *TypedQueue[Args]) EnqueueTx(tx *Transaction, args Args, options EnqueueOptions) (int64, error) {
	return q.Queue.EnqueueTx(tx, args, options)
}

// EnqueueSQL is Enqueue on a connection of the application's own, as Queue.EnqueueSQL is.
func (q *TypedQueue[Args]) EnqueueSQL(ctx context.Context, conn SQLExecer, args Args, options EnqueueOptions) (int64, error) {
	return q.Queue.EnqueueSQL(ctx, conn, args, options)
}

// Spec is such a job for Database.EnqueueMany.
func (q *TypedQueue[Args]) Spec(args Args, options EnqueueOptions) JobSpec {
	return q.Queue.spec(args, options)
}

// Typed is a Handler for jobs whose payloads are Args. One that cannot be decoded ends among the dead, with the reason: it
// would fail as often as it is tried.
func Typed[Args any](handler func(ctx context.Context, job *Job, args Args) error) Handler {
	return func(ctx context.Context, job *Job) error {
		var args Args
		if err := job.UnmarshalPayload(&args); err != nil {
			return Discard(err)
		}
		return handler(ctx, job, args)
	}
}
