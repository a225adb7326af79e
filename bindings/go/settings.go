package honker

// QueueSettings is what is set for a queue in the file, for every process at once.
type QueueSettings struct {
	// Queue is its name.
	Queue string `json:"queue"`
	// Paused: claims answer nothing, and workers wait. What runs goes on.
	Paused bool `json:"paused"`
	// Concurrency is how many of its jobs may be claimed at once; nil: any number.
	Concurrency *int64 `json:"concurrency"`
	// ConcurrencyPerKey is the same of jobs with one EnqueueOptions.ConcurrencyKey.
	ConcurrencyPerKey *int64 `json:"concurrency_per_key"`
	// Rate is how many claims there may be in a time; nil: any number.
	Rate *QueueRate `json:"rate"`
	// MaxAttempts is how often a job may be claimed whose enqueue does not say.
	MaxAttempts int64 `json:"max_attempts"`
	// Retry is when a job that failed is tried again, whatever its worker's options say; nil: as they say. None of its fields
	// is nil.
	Retry *QueueRetry `json:"retry"`
	// KeepDoneS is for how many seconds jobs that are done can be listed (Database.Jobs).
	KeepDoneS int64 `json:"keep_done_s"`
	// KeepDeadS is for how many seconds dead jobs are kept; nil: for ever.
	KeepDeadS *int64 `json:"keep_dead_s"`
}

// QueueRate is how many jobs of a queue may be claimed in each window of PerS seconds, which begin at multiples of that.
type QueueRate struct {
	Limit int64 `json:"limit"`
	PerS  int64 `json:"per_s"`
}

// QueueRetry is when a job that has failed for the nth time is due again: after BaseS·Factor^(n-1) seconds, at most MaxS, give or
// take a share of Jitter. Nil is 15, 2, 3600 and 0.1.
type QueueRetry struct {
	BaseS  *int64   `json:"base_s,omitempty"`
	Factor *float64 `json:"factor,omitempty"`
	MaxS   *int64   `json:"max_s,omitempty"`
	Jitter *float64 `json:"jitter,omitempty"`
}

// QueueUpdate says what to change of a queue's settings; nil leaves a part as it is.
type QueueUpdate struct {
	Paused *bool
	// Concurrency and ConcurrencyPerKey of 0 mean any number.
	Concurrency       *int64
	ConcurrencyPerKey *int64
	// Rate without anything in it is none.
	Rate *QueueRate
	// MaxAttempts of 0 is the default, 3.
	MaxAttempts *int64
	// Retry without anything in it leaves it to the workers again.
	Retry *QueueRetry
	// KeepDoneS of 0 keeps none.
	KeepDoneS *int64
	// KeepDeadS that is negative keeps them for ever.
	KeepDeadS *int64
}

// settings is the update as the library takes it, where null is the default.
func (u QueueUpdate) settings() map[string]any {
	settings := map[string]any{}
	set := func(key string, given, isDefault bool, value any) {
		switch {
		case given && isDefault:
			settings[key] = nil
		case given:
			settings[key] = value
		}
	}
	number := func(key string, value *int64) { set(key, value != nil, value != nil && *value == 0, value) }
	set("paused", u.Paused != nil, u.Paused != nil && !*u.Paused, u.Paused)
	number("concurrency", u.Concurrency)
	number("concurrency_per_key", u.ConcurrencyPerKey)
	set("rate", u.Rate != nil, u.Rate != nil && *u.Rate == QueueRate{}, u.Rate)
	number("max_attempts", u.MaxAttempts)
	set("retry", u.Retry != nil, u.Retry != nil && *u.Retry == QueueRetry{}, u.Retry)
	number("keep_done_s", u.KeepDoneS)
	set("keep_dead_s", u.KeepDeadS != nil, u.KeepDeadS != nil && *u.KeepDeadS < 0, u.KeepDeadS)
	return settings
}

// Configure changes settings of the queue, which are in the file: they hold for every process from then on, and wake the workers. A
// value that cannot be is ErrInvalid, and nothing is changed. The first setting in a file keeps programs with an older
// libhonker, which would not keep to it, from writing to the file.
func (q *Queue) Configure(update QueueUpdate) error { return q.configure(0, update) }

// ConfigureTx is Configure as a part of a transaction.
func (q *Queue) ConfigureTx(tx *Transaction, update QueueUpdate) error {
	_, err := inTx(tx, q.db, func(handle uintptr) (struct{}, error) { return struct{}{}, q.configure(handle, update) })
	return err
}

func (q *Queue) configure(tx uintptr, update QueueUpdate) error {
	encoded, err := encode("settings", update.settings())
	if err != nil {
		return err
	}
	_, err = q.db.native().queueConfigure(q.db.handle, tx, view(q.name), viewOf(encoded))
	return err
}

// Pause pauses the queue for all processes: no job of it is claimed until Resume. Jobs that run go on.
func (q *Queue) Pause() error {
	paused := true
	return q.Configure(QueueUpdate{Paused: &paused})
}

// Resume ends Pause, and wakes the workers.
func (q *Queue) Resume() error { return q.Configure(QueueUpdate{Paused: new(bool)}) }

// Settings is what holds for the queue.
func (q *Queue) Settings() (QueueSettings, error) {
	text, _, err := q.db.lib.textOf(q.db.native().queueSettings(q.db.handle, 0, view(q.name)))
	settings, err := decodeList[QueueSettings](text, err)
	settings.Queue = q.name
	return settings, err
}

// Queues is every queue that has settings, or a job that is live, dead, or kept after it was done; by name.
func (db *Database) Queues() ([]QueueSettings, error) {
	text, _, err := db.lib.textOf(db.native().queues(db.handle, 0))
	return decodeList[[]QueueSettings](text, err)
}
