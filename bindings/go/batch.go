package honker

// BatchOptions says what is enqueued when a batch has finished. The zero value is nothing.
type BatchOptions struct {
	// OnFinished is enqueued with the end of the last job of the batch, however that ended.
	OnFinished *JobSpec
	// OnSuccess is enqueued too, if all of them are done.
	OnSuccess *JobSpec
	// KeepS is for how many seconds the batch can be looked at after it has finished. Default: a day.
	KeepS *int64
}

// json is the options as the library takes them.
func (o BatchOptions) json() ([]byte, error) {
	options := map[string]any{}
	for key, callback := range map[string]*JobSpec{"on_finished": o.OnFinished, "on_success": o.OnSuccess} {
		if callback == nil {
			continue
		}
		payload, err := encode("payload", callback.Payload)
		if err == nil {
			err = callback.Options.keys()
		}
		if err != nil {
			return nil, err
		}
		options[key] = map[string]any{"queue": callback.Queue, "payload": string(payload), "options": callback.Options.json()}
	}
	if o.KeepS != nil {
		options["keep_s"] = *o.KeepS
	}
	return encode("options of the batch", options)
}

// json is the options as an object, for a job that is enqueued later.
func (o *EnqueueOptions) json() map[string]any {
	options := map[string]any{}
	set := func(key string, given bool, value any) {
		if given {
			options[key] = value
		}
	}
	set("delay_s", o.Delay != nil, o.Delay)
	set("run_at", o.RunAt != nil, o.RunAt)
	set("expires_s", o.Expires != nil, o.Expires)
	set("max_attempts", o.MaxAttempts != nil, o.MaxAttempts)
	set("priority", o.Priority != 0, o.Priority)
	set("max_run_s", o.MaxRunS != 0, o.MaxRunS)
	set("metadata", len(o.Metadata) > 0, o.Metadata)
	set("unique_key", o.UniqueKey != nil, o.UniqueKey)
	set("unique_until", o.UniqueUntil != UniqueUntilSettled, map[UniqueUntil]string{UniqueUntilClaimed: "claimed"}[o.UniqueUntil])
	set("unique_for_s", o.UniqueForS != 0, o.UniqueForS)
	set("on_conflict", o.OnConflict != ConflictKeep, map[OnConflict]string{ConflictReplace: "replace"}[o.OnConflict])
	set("concurrency_key", o.ConcurrencyKey != nil, o.ConcurrencyKey)
	set("batch_id", o.BatchID != 0, o.BatchID)
	if o.Member != nil {
		options["member"] = map[string]any{"job_id": o.Member.ID, "worker_id": o.Member.WorkerID}
	}
	return options
}

// Batch is some jobs that are waited for together, by a job that is enqueued when the last of them has ended; made by
// Database.Batch and Database.CreateBatch. Any goroutine may use it.
type Batch struct {
	// ID is what EnqueueOptions.BatchID of its jobs is.
	ID int64
	db *Database
}

// BatchStatus is what has become of the jobs of a batch.
type BatchStatus struct {
	Total     int64 `json:"total"`
	Pending   int64 `json:"pending"` // have not ended yet
	Done      int64 `json:"done"`
	Dead      int64 `json:"dead"`
	Cancelled int64 `json:"cancelled"` // or deleted
	// Sealed: only its running jobs may add jobs.
	Sealed bool `json:"sealed"`
	// FinishedAt is when the last of them ended, in Unix seconds; nil until then.
	FinishedAt *int64 `json:"finished_at"`
}

// Batch makes a batch, lets fill enqueue its jobs, with EnqueueOptions.BatchID, and seals it: with the end of the last job what
// options say is enqueued, in the same commit, once, whoever dies when. The batch of a fill that enqueues nothing has finished then.
//
//	batch, err := db.Batch(honker.BatchOptions{OnSuccess: &honker.JobSpec{Queue: "reports"}}, func(b *honker.Batch) error {
//		_, err := q.Enqueue(1, honker.EnqueueOptions{BatchID: b.ID})
//		return err
//	})
//
// If fill returns an error, or panics, the batch is not sealed: its jobs run, and it does not finish. It is returned with the
// error, and may be added to and sealed later. With BatchTx there is no batch then, and no job.
//
// The job that options say has "batch_id" in its Metadata.
func (db *Database) Batch(options BatchOptions, fill func(b *Batch) error) (*Batch, error) {
	return db.batch(0, options, fill)
}

// BatchTx is Batch as a part of a transaction, in which fill enqueues as well.
func (db *Database) BatchTx(tx *Transaction, options BatchOptions, fill func(b *Batch) error) (*Batch, error) {
	return inTx(tx, db, func(handle uintptr) (*Batch, error) { return db.batch(handle, options, fill) })
}

// CreateBatch makes a batch that is filled by several functions or processes, with EnqueueOptions.BatchID: it waits, however many of
// its jobs have ended, until one of them calls Seal. Batch is the same with a function that fills it.
func (db *Database) CreateBatch(options BatchOptions) (*Batch, error) {
	return db.createBatch(0, options)
}

// CreateBatchTx is CreateBatch as a part of a transaction.
func (db *Database) CreateBatchTx(tx *Transaction, options BatchOptions) (*Batch, error) {
	return inTx(tx, db, func(handle uintptr) (*Batch, error) { return db.createBatch(handle, options) })
}

func (db *Database) createBatch(tx uintptr, options BatchOptions) (*Batch, error) {
	encoded, err := options.json()
	if err != nil {
		return nil, err
	}
	id, _, err := db.native().batchCreate(db.handle, tx, viewOf(encoded))
	if err != nil {
		return nil, err
	}
	return &Batch{ID: id, db: db}, nil
}

func (db *Database) batch(tx uintptr, options BatchOptions, fill func(b *Batch) error) (*Batch, error) {
	b, err := db.createBatch(tx, options)
	if err != nil {
		return nil, err
	}
	if err = fill(b); err == nil {
		_, err = b.seal(tx)
	}
	return b, err
}

// BatchByID is the batch with that id, whether or not there is one.
func (db *Database) BatchByID(id int64) *Batch { return &Batch{ID: id, db: db} }

// Seal says that all jobs of the batch are enqueued, but for those that running ones add. Batch does it by itself. False if it
// was sealed before; a batch that is not there is ErrInvalid.
func (b *Batch) Seal() (bool, error) { return b.seal(0) }

// SealTx is Seal as a part of a transaction.
func (b *Batch) SealTx(tx *Transaction) (bool, error) { return inTx(tx, b.db, b.seal) }

func (b *Batch) seal(tx uintptr) (bool, error) {
	return did(b.db.native().batchSeal(b.db.handle, tx, b.ID))
}

// Status is what has become of its jobs; nil if there is no such batch, any more.
func (b *Batch) Status() (*BatchStatus, error) {
	text, found, err := b.db.lib.textOf(b.db.native().batchGet(b.db.handle, 0, b.ID))
	if !found {
		return nil, err
	}
	return decodeList[*BatchStatus](text, err)
}

// Batch is the batch that the job belongs to; nil if to none. A job that runs may add others to it, also when it is sealed, and the
// batch waits for them:
//
//	honker.EnqueueOptions{BatchID: batch.ID, Member: job}
func (j *Job) Batch() (*Batch, error) {
	if j.db == nil {
		return nil, noJob()
	}
	found, _, err := j.db.Jobs(JobFilter{MinID: j.ID, MaxID: j.ID}).Page(0)
	if err != nil || len(found) == 0 || found[0].BatchID == nil {
		return nil, err
	}
	return j.db.BatchByID(*found[0].BatchID), nil
}
