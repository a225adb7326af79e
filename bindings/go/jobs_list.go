package honker

import (
	"context"
	"iter"
)

// JobState is where a job is.
type JobState string

const (
	JobDue        JobState = "due"
	JobDelayed    JobState = "delayed"
	JobProcessing JobState = "processing"
	JobBlocked    JobState = "blocked" // it waits for others of its concurrency key
	JobDead       JobState = "dead"
	JobDone       JobState = "done" // and kept, see QueueUpdate.KeepDoneS
)

// JobFilter says which jobs are meant: those that fulfil all that is set. The zero value means all.
type JobFilter struct {
	// Everything has to be set for an action on all jobs of the file, which no condition limits: a condition that is empty by mistake
	// must not mean that. Lists do without it.
	Everything bool
	Queue      string
	States     []JobState
	MinID      int64
	MaxID      int64 // 0: no limit
	WorkerID   string
	// UniqueKey, BatchID and Metadata are those of EnqueueOptions; of Metadata the job has at least these.
	UniqueKey *string
	BatchID   int64
	Metadata  map[string]string
	// Error is a part of the text that a dead job died of.
	Error string
	// When the job was enqueued, and when it died or was done: Unix seconds, with both ends. 0: no limit.
	CreatedFrom int64
	CreatedTo   int64
	EndedFrom   int64
	EndedTo     int64
	// OldestFirst: by id, which is otherwise newest first.
	OldestFirst bool
	// PageSize is how many jobs are taken at a time, 1 to 1000. Default 100.
	PageSize int64
}

// filter is the filter as the library takes it, for an action or for a list.
func (f *JobFilter) filter(cursor int64, acts bool) ([]byte, error) {
	filter := map[string]any{}
	for key, number := range map[string]int64{"min_id": f.MinID, "max_id": f.MaxID, "batch_id": f.BatchID, "created_from": f.CreatedFrom,
		"created_to": f.CreatedTo, "ended_from": f.EndedFrom, "ended_to": f.EndedTo} {
		if number != 0 {
			filter[key] = number
		}
	}
	for key, text := range map[string]string{"queue": f.Queue, "worker_id": f.WorkerID, "error": f.Error} {
		if text != "" {
			filter[key] = text
		}
	}
	if f.UniqueKey != nil {
		filter["unique_key"] = *f.UniqueKey
	}
	if len(f.States) > 0 {
		filter["state"] = f.States
	}
	if len(f.Metadata) > 0 {
		filter["metadata"] = f.Metadata
	}
	if acts && len(filter) == 0 && !f.Everything {
		return nil, newError(StatusInvalid, "filter: it has no condition: set Everything for an action on all jobs of the file")
	}
	for key, number := range map[string]int64{"limit": f.PageSize, "cursor": cursor} {
		if number != 0 {
			filter[key] = number
		}
	}
	if f.OldestFirst {
		filter["order"] = "oldest"
	}
	return encode("filter", filter)
}

// ListedJob is a job, wherever it is. What it does not have is nil.
type ListedJob struct {
	ID             int64    `json:"id"`
	Queue          string   `json:"queue"`
	Payload        string   `json:"payload"` // the text as it is stored
	State          JobState `json:"state"`
	Priority       int64    `json:"priority"`
	RunAt          int64    `json:"run_at"`
	WorkerID       *string  `json:"worker_id"`
	ClaimExpiresAt *int64   `json:"claim_expires_at"`
	Attempts       int64    `json:"attempts"`
	MaxAttempts    int64    `json:"max_attempts"`
	CreatedAt      int64    `json:"created_at"`
	ExpiresAt      *int64   `json:"expires_at"`
	LastError      *string  `json:"last_error"`
	DiedAt         *int64   `json:"died_at"`
	FinishedAt     *int64   `json:"finished_at"` // when it was done
	// Result is what SaveResult has saved, the text as it is stored.
	Result         *string           `json:"result"`
	Metadata       map[string]string `json:"metadata"`
	UniqueKey      *string           `json:"unique_key"`
	ConcurrencyKey *string           `json:"concurrency_key"`
	BatchID        *int64            `json:"batch_id"`
	MaxRunS        *int64            `json:"max_run_s"`
}

// Jobs is the jobs of a database that a filter finds; made by Database.Jobs. It is only the filter: each call looks anew. Any goroutine
// may use it.
type Jobs struct {
	db     *Database
	filter JobFilter
}

// Jobs is the live, dead and done jobs that the filter finds, to be listed or dealt with.
//
//	for job, err := range db.Jobs(honker.JobFilter{Queue: "emails"}).All(ctx) { ... }
//	retried, err := db.Jobs(honker.JobFilter{Error: "no route"}).Retry(ctx)
func (db *Database) Jobs(filter JobFilter) *Jobs { return &Jobs{db, filter} }

// All is the jobs, by id, taken a page at a time: jobs that come or go meanwhile may be among them or not. An error, also that of ctx,
// is the last value.
func (j *Jobs) All(ctx context.Context) iter.Seq2[*ListedJob, error] {
	return func(yield func(*ListedJob, error) bool) {
		for cursor := int64(0); ; {
			err := ctx.Err()
			var page []*ListedJob
			if err == nil {
				page, cursor, err = j.Page(cursor)
			}
			if err != nil {
				yield(nil, err)
				return
			}
			for _, job := range page {
				if !yield(job, nil) {
					return
				}
			}
			if cursor == 0 {
				return
			}
		}
	}
}

// Page is the first page for a cursor of 0, and else the one after the page that returned the cursor. The cursor of the last page is 0. At
// most 10,000 jobs are looked at for it: a page may be short, or empty, and not be the last.
func (j *Jobs) Page(cursor int64) ([]*ListedJob, int64, error) {
	filter, err := j.filter.filter(cursor, false)
	if err != nil {
		return nil, 0, err
	}
	text, _, err := j.db.lib.textOf(j.db.native().jobList(j.db.handle, 0, viewOf(filter)))
	page, err := decodeList[struct {
		Jobs   []*ListedJob `json:"jobs"`
		Cursor int64        `json:"cursor"`
	}](text, err)
	return page.Jobs, page.Cursor, err
}

// JobAction is what is done to jobs. Those that are in another state than it is for are left alone.
type JobAction struct{ what any }

var (
	ActionRetry  = JobAction{"retry"}   // dead jobs: due now, with all their attempts
	ActionRunNow = JobAction{"run_now"} // delayed jobs: due now
	ActionCancel = JobAction{"cancel"}  // live jobs: removed, and the contexts of their handlers end
	ActionDelete = JobAction{"delete"}  // any: removed
)

// ActionMove puts jobs that wait, and dead ones, into another queue.
func ActionMove(queue string) JobAction { return JobAction{map[string]string{"move": queue}} }

// ActionPriority gives live jobs another priority.
func ActionPriority(priority int64) JobAction {
	return JobAction{map[string]int64{"priority": priority}}
}

// Applied is what has become of jobs that were dealt with.
type Applied struct {
	// Changed is how many were.
	Changed int64 `json:"changed"`
	// Conflicts is how many were passed over: another job has their unique key, or the file refuses the change.
	Conflicts int64 `json:"conflicts"`
}

// AppliedPage is what has become of a page of jobs.
type AppliedPage struct {
	Applied
	// Left is how many are left; nil where that would have to be counted.
	Left *int64 `json:"left"`
	// Cursor is where the next page begins; 0 with the last.
	Cursor int64 `json:"cursor"`
}

// Retry makes those that are dead live again: due now, with all their attempts. This and the others take a page at a time, each in a
// commit of its own, until no job is left or ctx ends; with an error, the answer is what was done before it. Jobs that it is not
// for are left alone.
func (j *Jobs) Retry(ctx context.Context) (Applied, error) { return j.apply(ctx, ActionRetry) }

// RunNow makes those that are delayed due.
func (j *Jobs) RunNow(ctx context.Context) (Applied, error) { return j.apply(ctx, ActionRunNow) }

// Cancel removes those that are live; who holds one finds its claim lost, and a handler's context ends.
func (j *Jobs) Cancel(ctx context.Context) (Applied, error) { return j.apply(ctx, ActionCancel) }

// Delete removes them, also those that are dead or done.
func (j *Jobs) Delete(ctx context.Context) (Applied, error) { return j.apply(ctx, ActionDelete) }

// Move puts those that wait or are dead into another queue.
func (j *Jobs) Move(ctx context.Context, queue string) (Applied, error) {
	return j.apply(ctx, ActionMove(queue))
}

// SetPriority gives those that are live another priority.
func (j *Jobs) SetPriority(ctx context.Context, priority int64) (Applied, error) {
	return j.apply(ctx, ActionPriority(priority))
}

func (j *Jobs) apply(ctx context.Context, action JobAction) (Applied, error) {
	var all Applied
	for cursor := int64(0); ; {
		if err := ctx.Err(); err != nil {
			return all, err
		}
		page, err := j.ApplyPage(action, cursor)
		if err != nil {
			return all, err
		}
		all.Changed += page.Changed
		all.Conflicts += page.Conflicts
		if cursor = page.Cursor; cursor == 0 {
			return all, nil
		}
	}
}

// ApplyPage does something to a page of them, in one commit: the first page for a cursor of 0, and else the one after the page that
// answered the cursor. Without JobFilter.PageSize a page is 1,000 jobs.
func (j *Jobs) ApplyPage(action JobAction, cursor int64) (AppliedPage, error) {
	return j.applyPage(0, action, cursor)
}

// ApplyPageTx is ApplyPage as a part of a transaction.
func (j *Jobs) ApplyPageTx(tx *Transaction, action JobAction, cursor int64) (AppliedPage, error) {
	return inTx(tx, j.db, func(handle uintptr) (AppliedPage, error) { return j.applyPage(handle, action, cursor) })
}

func (j *Jobs) applyPage(tx uintptr, action JobAction, cursor int64) (AppliedPage, error) {
	name, is := action.what.(string)
	encoded := []byte(name)
	if !is {
		var err error
		if encoded, err = encode("action", action.what); err != nil {
			return AppliedPage{}, err
		}
	}
	filter := j.filter
	filter.PageSize = orDefault(filter.PageSize, 1000)
	paged, err := filter.filter(cursor, true)
	if err != nil {
		return AppliedPage{}, err
	}
	text, _, err := j.db.lib.textOf(j.db.native().jobApply(j.db.handle, tx, viewOf(paged), viewOf(encoded)))
	return decodeList[AppliedPage](text, err)
}

// DeadGroup is dead jobs that died of the same.
type DeadGroup struct {
	// Error is the text, in which # stands for a number or an id; nil for those without.
	Error *string `json:"error"`
	Count int64   `json:"count"`
	// Newest is the one that died last.
	Newest DeadJob `json:"newest"`
}

// DeadGroups counts the dead of all queues by what they died of, the largest group first, at most 1,000 groups. It reads them all.
func (db *Database) DeadGroups() ([]DeadGroup, error) { return db.deadGroups(bytesView{}) }

// DeadGroups is Database.DeadGroups of this queue.
func (q *Queue) DeadGroups() ([]DeadGroup, error) { return q.db.deadGroups(view(q.name)) }

func (db *Database) deadGroups(queue bytesView) ([]DeadGroup, error) {
	text, _, err := db.lib.textOf(db.native().deadGroups(db.handle, 0, queue))
	return decodeList[[]DeadGroup](text, err)
}
