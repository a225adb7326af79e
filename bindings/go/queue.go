package honker

import (
	"context"
	"fmt"
	"slices"
)

// QueueOptions says how the jobs of a queue are handled through this handle. Zero means the default.
type QueueOptions struct {
	// VisibilityTimeoutS is for how many seconds a claimed job is its worker's. Default 300.
	VisibilityTimeoutS int64
	// MaxAttempts is how often a job that is enqueued may be claimed. Default: what Configure has set for all processes, or else 3.
	MaxAttempts int64
}

// EnqueueOptions says how a job is enqueued. The zero value has the defaults. Delay and Expires are seconds from now, RunAt is
// Unix seconds.
type EnqueueOptions struct {
	// Delay is after how many seconds the job becomes due. Seconds, as in DelayS elsewhere. With it RunAt is ignored.
	Delay *int64
	// RunAt is when the job becomes due, in Unix seconds. Default: now.
	RunAt *int64
	// Priority: larger is sooner.
	Priority int64
	// Expires is after how many seconds from now the job may not be claimed any more. Seconds. Default: never.
	Expires *int64
	// MaxAttempts is how often the job may be claimed. Default: the queue's. With 0 or less it never is, and ends among
	// the dead.
	MaxAttempts *int64
	// MaxRunS is for how many seconds a worker lets the job run before it is retried, instead of WorkerOptions.MaxRun.
	// Default: as long as the worker says.
	MaxRunS int64
	// Metadata comes back with the job: texts by name, at most 8192 bytes as JSON. "traceparent" and "tracestate" are
	// OpenTelemetry's.
	Metadata map[string]string

	// UniqueKey is what only one job of the queue has at a time, String("digest-7"). Default: none; an empty one is ErrInvalid. If the
	// key is taken nothing is added, and the id is that of the job that has it; Queue.EnqueueWith and Database.EnqueueMany say so.
	UniqueKey *string
	// UniqueUntil says how long the job has the key: UniqueUntilSettled by default.
	UniqueUntil UniqueUntil
	// UniqueForS is for how many seconds the key is taken at least, this one included, whatever becomes of the job: one job in so
	// many seconds. Default: none.
	UniqueForS int64
	// OnConflict says what becomes of the job if the key is taken: ConflictKeep by default.
	OnConflict OnConflict

	// ConcurrencyKey: of the jobs with the same key, no more run at once than QueueUpdate.ConcurrencyPerKey says. Default: none; an
	// empty one is ErrInvalid.
	ConcurrencyKey *string

	// BatchID is the batch that the job belongs to, see Database.Batch. Default: none.
	BatchID int64
	// Member is a job of that batch, claimed and not settled yet, that adds this one: it may although the batch is sealed.
	Member *Job
}

// UniqueUntil says how long a job has its unique key.
type UniqueUntil uint32

// OnConflict says what becomes of a job whose unique key is taken.
type OnConflict uint32

const (
	UniqueUntilSettled UniqueUntil = uniqueSettled // until it is done, dead or cancelled; retries keep the key
	UniqueUntilClaimed UniqueUntil = uniqueClaimed // until it is claimed: what comes while it runs is queued once more, and only once

	ConflictKeep    OnConflict = conflictKeep    // the job that has the key stays as it is
	ConflictReplace OnConflict = conflictReplace // it becomes this one, and keeps its id, if it still waits; else it stays as it is
)

// Queue is a queue of a database. It is only a name and options: make as many as you like, and use them from any
// goroutine.
type Queue struct {
	db      *Database
	name    string
	options QueueOptions
}

// Queue is the queue of that name, which need not exist: it is there with its first job.
func (db *Database) Queue(name string, options QueueOptions) *Queue {
	if db == nil {
		panic("honker: the *Database is nil: Open returned an error, which was not checked")
	}
	options.VisibilityTimeoutS = orDefault(options.VisibilityTimeoutS, 300)
	return &Queue{db: db, name: name, options: options}
}

// WithVisibilityTimeout is the same queue with another visibility timeout, which may be 0: the claim is valid for the rest
// of the second.
func (q *Queue) WithVisibilityTimeout(seconds int64) *Queue {
	other := *q
	other.options.VisibilityTimeoutS = seconds
	return &other
}

// Name is the name of the queue.
func (q *Queue) Name() string { return q.name }

// JobSpec is one of the jobs that Database.EnqueueMany enqueues.
type JobSpec struct {
	// Queue is the queue's name.
	Queue string
	// Payload is what encoding/json makes of it, where a []byte is base64; JSON that is there already is a json.RawMessage.
	Payload any
	// Options are the job's. MaxAttempts is what Queue.Configure has set for all processes by default, or else 3.
	Options EnqueueOptions
}

// EnqueueResult is what has become of a JobSpec.
type EnqueueResult struct {
	// ID is the job's, or that of the job that has its unique key.
	ID int64
	// Status is StatusEnqueued, StatusExists or StatusReplaced.
	Status EnqueueStatus
}

// EnqueueStatus is what has become of a job that was to be enqueued, as SQL and the other packages say it.
type EnqueueStatus string

const (
	StatusEnqueued EnqueueStatus = "enqueued"
	StatusExists   EnqueueStatus = "exists"   // another job has its unique key, and stays as it is
	StatusReplaced EnqueueStatus = "replaced" // another job had its unique key, and has become this one
	StatusSkipped  EnqueueStatus = "skipped"  // the last job of its schedule is live, see OverlapSkip
)

// enqueueStatus is what the library has answered for a job.
func enqueueStatus(status Status) EnqueueStatus {
	switch status {
	case statusExists:
		return StatusExists
	case statusReplaced:
		return StatusReplaced
	case statusEmpty:
		return StatusSkipped
	}
	return StatusEnqueued
}

// EnqueueFunc enqueues jobs, all or none; a result for each, in their order.
type EnqueueFunc = func(ctx context.Context, jobs []JobSpec) ([]EnqueueResult, error)

// EnqueueMiddleware makes an EnqueueFunc of one, around which it stands. It refuses jobs with an error.
type EnqueueMiddleware = func(next EnqueueFunc) EnqueueFunc

// EnqueueMany adds jobs, to any queues, all or none, in one commit; a result for each, in their order. It waits for its turn to
// write for as long as the busy timeout, and no longer than ctx; if that ends first, nothing is enqueued, and the error is
// the context's. A context that may end has a price: the jobs have a transaction of their own, and do not share a commit with
// what others write at the moment. OpenOptions.EnqueueMiddleware gets ctx as well.
func (db *Database) EnqueueMany(ctx context.Context, jobs []JobSpec) ([]EnqueueResult, error) {
	return db.enqueueIn(ctx, 0, jobs)
}

// EnqueueManyTx is EnqueueMany as a part of a transaction, with the context of that.
func (db *Database) EnqueueManyTx(tx *Transaction, jobs []JobSpec) ([]EnqueueResult, error) {
	return inTx(tx, db, func(handle uintptr) ([]EnqueueResult, error) { return db.enqueueIn(tx.ctx, handle, jobs) })
}

func (db *Database) enqueueIn(ctx context.Context, tx uintptr, jobs []JobSpec) ([]EnqueueResult, error) {
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf(nothingEnqueued, err)
	}
	enqueue := func(ctx context.Context, jobs []JobSpec) ([]EnqueueResult, error) {
		specs, err := nativeSpecs(jobs)
		switch {
		case err != nil:
			return nil, err
		case tx != 0 || ctx.Done() == nil:
			return db.enqueueNow(tx, specs)
		}
		return db.enqueueWithin(ctx, specs)
	}
	for _, around := range slices.Backward(db.options.EnqueueMiddleware) {
		enqueue = around(enqueue)
	}
	results, err := enqueue(ctx, jobs)
	if err == nil && len(results) != len(jobs) {
		return nil, newError(StatusMisuse, "an EnqueueMiddleware returned %d results for %d jobs, and no error", len(results), len(jobs))
	}
	return results, err
}

// enqueueWithin waits for its turn no longer than ctx. It has a transaction: what waits for a lock in the library cannot be
// called off, and would enqueue the jobs later.
func (db *Database) enqueueWithin(ctx context.Context, specs []jobSpec) ([]EnqueueResult, error) {
	tx, err := db.beginWithin(ctx, nothingEnqueued)
	if err != nil {
		return nil, err
	}
	defer tx.end()
	results, err := db.enqueueNow(tx.handle, specs)
	if err == nil {
		err = tx.Commit()
	}
	if err != nil {
		return nil, tx.why(err)
	}
	return results, nil
}

// nothingEnqueued begins the error of a context.
const nothingEnqueued = "honker: nothing was enqueued: %w"

func nativeSpecs(jobs []JobSpec) ([]jobSpec, error) {
	specs := make([]jobSpec, len(jobs))
	for i, job := range jobs {
		payload, err := encode("payload", job.Payload)
		if err != nil {
			return nil, err
		}
		specs[i] = *newJobSpec()
		specs[i].queue, specs[i].payload = view(job.Queue), viewOf(payload)
		if specs[i].opts, err = job.Options.native(); err != nil {
			return nil, err
		}
	}
	return specs, nil
}

func (db *Database) enqueueNow(tx uintptr, specs []jobSpec) ([]EnqueueResult, error) {
	native := make([]enqueueResult, len(specs))
	var err error
	if len(specs) == 1 {
		native[0].id, native[0].status, err = db.native().enqueue(db.handle, tx, specs[0].queue, specs[0].payload, specs[0].opts)
	} else {
		_, err = db.native().enqueueMany(db.handle, tx, specs, native)
	}
	if err != nil {
		return nil, err
	}
	results := make([]EnqueueResult, len(specs))
	for i, one := range native {
		results[i] = EnqueueResult{ID: one.id, Status: enqueueStatus(Status(one.status))}
	}
	return results, nil
}

func (o *EnqueueOptions) native() (*enqueueOpts, error) {
	opts := newEnqueueOpts()
	opts.priority = o.Priority
	var is optionals
	if is.err = o.keys(); is.err != nil {
		return nil, is.err
	}
	opts.maxAttempts = is.number("MaxAttempts", o.MaxAttempts)
	opts.delayS, opts.runAt, opts.expiresS = is.number("Delay", o.Delay), is.number("RunAt", o.RunAt), is.number("Expires", o.Expires)
	opts.maxRunS, opts.uniqueUntil, opts.uniqueForS, opts.onConflict = o.MaxRunS, uint32(o.UniqueUntil), o.UniqueForS, uint32(o.OnConflict)
	if o.UniqueKey != nil {
		opts.uniqueKey = view(*o.UniqueKey)
	}
	if o.ConcurrencyKey != nil {
		opts.concurrencyKey = view(*o.ConcurrencyKey)
	}
	opts.batchID = o.BatchID
	if o.Member != nil {
		opts.memberJobID, opts.memberWorkerID = o.Member.ID, view(o.Member.WorkerID)
	}
	if is.err != nil || len(o.Metadata) == 0 {
		return opts, is.err
	}
	metadata, err := encode("metadata", o.Metadata)
	opts.metadata = viewOf(metadata)
	return opts, err
}

// keys refuses empty keys, which are none for the library.
func (o *EnqueueOptions) keys() error {
	for name, key := range map[string]*string{"UniqueKey": o.UniqueKey, "ConcurrencyKey": o.ConcurrencyKey} {
		if key != nil && *key == "" {
			return invalid(nil, "%s must not be empty", name)
		}
	}
	return nil
}

// spec is a job for this queue.
func (q *Queue) spec(payload any, options EnqueueOptions) JobSpec {
	if options.MaxAttempts == nil && q.options.MaxAttempts != 0 {
		options.MaxAttempts = &q.options.MaxAttempts
	}
	return JobSpec{q.name, payload, options}
}

// Enqueue adds a job; its id. payload is what encoding/json makes of it, where a []byte is base64; JSON that is there
// already is a json.RawMessage. What cannot be encoded is ErrInvalid.
func (q *Queue) Enqueue(payload any, options EnqueueOptions) (int64, error) {
	return q.EnqueueContext(context.Background(), payload, options)
}

// EnqueueContext is Enqueue that waits no longer than ctx, as Database.EnqueueMany does.
func (q *Queue) EnqueueContext(ctx context.Context, payload any, options EnqueueOptions) (int64, error) {
	return only(q.db.EnqueueMany(ctx, []JobSpec{q.spec(payload, options)}))
}

// EnqueueTx is Enqueue as a part of a transaction, with the context of that.
func (q *Queue) EnqueueTx(tx *Transaction, payload any, options EnqueueOptions) (int64, error) {
	return only(q.db.EnqueueManyTx(tx, []JobSpec{q.spec(payload, options)}))
}

// EnqueueWith is EnqueueContext that also says what has come of it: whether another job has the unique key.
func (q *Queue) EnqueueWith(ctx context.Context, payload any, options EnqueueOptions) (EnqueueResult, error) {
	return first(q.db.EnqueueMany(ctx, []JobSpec{q.spec(payload, options)}))
}

// EnqueueWithTx is EnqueueWith as a part of a transaction, with the context of that.
func (q *Queue) EnqueueWithTx(tx *Transaction, payload any, options EnqueueOptions) (EnqueueResult, error) {
	return first(q.db.EnqueueManyTx(tx, []JobSpec{q.spec(payload, options)}))
}

func first(results []EnqueueResult, err error) (EnqueueResult, error) {
	if err != nil {
		return EnqueueResult{}, err
	}
	return results[0], nil
}

func only(results []EnqueueResult, err error) (int64, error) {
	result, err := first(results, err)
	return result.ID, err
}

// EnqueueMany adds a job for each payload, all or none, in one commit; their ids, which increase unless other jobs have their unique
// key. Database.EnqueueMany is for several queues, and options of their own, and says what has come of each.
func (q *Queue) EnqueueMany(payloads []any, options EnqueueOptions) ([]int64, error) {
	return ids(q.db.EnqueueMany(context.Background(), q.specs(payloads, options)))
}

// EnqueueManyTx is EnqueueMany as a part of a transaction.
func (q *Queue) EnqueueManyTx(tx *Transaction, payloads []any, options EnqueueOptions) ([]int64, error) {
	return ids(q.db.EnqueueManyTx(tx, q.specs(payloads, options)))
}

func (q *Queue) specs(payloads []any, options EnqueueOptions) []JobSpec {
	jobs := make([]JobSpec, len(payloads))
	for i, payload := range payloads {
		jobs[i] = q.spec(payload, options)
	}
	return jobs
}

func ids(results []EnqueueResult, err error) ([]int64, error) {
	if err != nil {
		return nil, err
	}
	all := make([]int64, len(results))
	for i, result := range results {
		all[i] = result.ID
	}
	return all, nil
}

// ClaimOne claims the job that is next, highest priority first, then oldest. It is worker's for the queue's visibility timeout; if
// it is not settled or extended by then it goes to whoever claims next. nil if there is nothing to do. worker should be
// a name that nobody else has.
func (q *Queue) ClaimOne(worker string) (*Job, error) {
	jobs, err := q.ClaimBatch(worker, 1)
	if err != nil || len(jobs) == 0 {
		return nil, err
	}
	return jobs[0], nil
}

// ClaimBatch claims up to n jobs in one commit; a negative n means all of them.
func (q *Queue) ClaimBatch(worker string, n int64) ([]*Job, error) {
	jobs, status, err := q.db.native().claim(q.db.handle, 0, view(q.name), view(worker), n, q.options.VisibilityTimeoutS)
	if err != nil || status != statusOK {
		return nil, err
	}
	return q.db.takeJobs(jobs)
}

// AckBatch acks the jobs that worker still holds, in one commit; how many that were.
func (q *Queue) AckBatch(ids []int64, worker string) (int64, error) {
	return valueOf(q.db.native().ackBatch(q.db.handle, 0, ids, view(worker)))
}

// Cancel removes a job, pending or claimed; who holds it finds its claim lost. False if there is no such job.
func (q *Queue) Cancel(id int64) (bool, error) {
	return did(q.db.native().cancel(q.db.handle, 0, id))
}

// JobRow is a job as it stands in the file. Absent is nil.
type JobRow struct {
	ID             int64   `json:"id"`
	Queue          string  `json:"queue"`
	Payload        string  `json:"payload"` // the text as it is stored
	State          string  `json:"state"`   // "pending", also while it waits for others of its concurrency key, or "processing"
	Priority       int64   `json:"priority"`
	RunAt          int64   `json:"run_at"`
	WorkerID       *string `json:"worker_id"`
	ClaimExpiresAt *int64  `json:"claim_expires_at"`
	Attempts       int64   `json:"attempts"`
	MaxAttempts    int64   `json:"max_attempts"`
	CreatedAt      int64   `json:"created_at"`
	ExpiresAt      *int64  `json:"expires_at"`
	// Metadata is what it was enqueued with; nil if there was none.
	Metadata map[string]string `json:"metadata,omitempty"`
}

// GetJob is a job, pending or claimed; nil if there is no such job, any more.
func (q *Queue) GetJob(id int64) (*JobRow, error) {
	row, found, err := q.db.lib.textOf(q.db.native().getJob(q.db.handle, 0, id))
	if !found {
		return nil, err
	}
	return decodeList[*JobRow](row, err)
}

// SweepExpired moves the expired jobs that nobody holds to the dead; how many that were. Claims pass them by without it.
func (q *Queue) SweepExpired() (int64, error) {
	return valueOf(q.db.native().sweepExpired(q.db.handle, 0, view(q.name)))
}

// NextClaimAt is when, in Unix seconds, a claim could next succeed without a further commit: a delayed job becoming due,
// or a claim lapsing. 0 if there is nothing to wait for. Jobs that can be claimed now do not count.
func (q *Queue) NextClaimAt() (int64, error) {
	return valueOf(q.db.native().queueNextClaimAt(q.db.handle, 0, view(q.name)))
}

// QueueStats says how many jobs a queue has.
type QueueStats struct {
	Queue   string `json:"queue"`
	Pending int64  `json:"pending"` // due
	Delayed int64  `json:"delayed"`
	Claimed int64  `json:"claimed"`
	Expired int64  `json:"expired"`
	Dead    int64  `json:"dead"`
}

// Stats says how many jobs there are. It reads them all: for people, not for loops.
func (q *Queue) Stats() (QueueStats, error) {
	stats, _, err := q.db.lib.textOf(q.db.native().queueStats(q.db.handle, 0, view(q.name)))
	return decodeList[QueueStats](stats, err)
}

// DeadJob is a job that failed for good.
type DeadJob struct {
	ID          int64   `json:"id"`
	Queue       string  `json:"queue"`
	Payload     string  `json:"payload"` // the text as it is stored
	Priority    int64   `json:"priority"`
	RunAt       int64   `json:"run_at"`
	Attempts    int64   `json:"attempts"`
	MaxAttempts int64   `json:"max_attempts"`
	LastError   *string `json:"last_error"`
	CreatedAt   int64   `json:"created_at"`
	DiedAt      int64   `json:"died_at"`
	// Metadata is what it was enqueued with; nil if there was none.
	Metadata map[string]string `json:"metadata,omitempty"`
}

// DeadJobs are the dead of the queue, newest job first, at most limit unless that is negative.
func (q *Queue) DeadJobs(limit int64) ([]DeadJob, error) {
	dead, _, err := q.db.lib.textOf(q.db.native().deadList(q.db.handle, 0, view(q.name), limit))
	return decodeList[[]DeadJob](dead, err)
}

// RequeueDead makes a dead job live again: pending, due now, with its id, options and steps, no attempts used and no expiry. False
// if there is no such dead job, or it stays dead because another job has its unique key.
func (q *Queue) RequeueDead(id int64) (bool, error) {
	return did(q.db.native().deadRequeue(q.db.handle, 0, id))
}

// PurgeDead deletes the dead of the queue that died more than olderThanS seconds ago; how many that were.
func (q *Queue) PurgeDead(olderThanS int64) (int64, error) {
	return valueOf(q.db.native().deadPurge(q.db.handle, 0, view(q.name), olderThanS))
}
