package honker

import (
	"encoding/json"
	"strings"
	"sync/atomic"
)

// Job is a claimed job. It is its worker's until it is settled (Ack, Retry, Fail, Release) or until its time is over; a process
// that dies gives it back that way. One goroutine uses it at a time.
//
// The methods that settle it answer true if and only if they changed the file, and false if the claim was lost: it
// lapsed, went to another worker, or was settled already.
type Job struct {
	ID      int64
	Queue   string
	Payload []byte // as it was enqueued
	// WorkerID is who holds it, as it stands in the file: what the claim was made with or, of a Worker's, its name, an @, and 32
	// digits, which tell the others whether its process is still there.
	WorkerID string
	// Attempts is how often the job has been claimed, this time included.
	Attempts int64
	// MaxAttempts is how often it may be claimed.
	MaxAttempts int64
	// Metadata is what it was enqueued with; nil if there was none. It is not to be changed.
	Metadata map[string]string
	// ClaimExpiresAt is the last second, in Unix time, in which this claim is valid; Heartbeat does not change it here.
	ClaimExpiresAt int64

	db     *Database
	serial int64      // names this claim, if a worker of the library's has made it
	shared *jobShared // nil if no handler runs for it
}

// jobShared is what a handler and its worker tell each other.
type jobShared struct {
	ackedSQL atomic.Bool // AckSQL has been called, whatever becomes of its transaction
	lost     atomic.Bool // the claim, or the file
}

// takeJobs copies jobs of the library's, which it frees.
func (db *Database) takeJobs(handle uintptr) ([]*Job, error) {
	native := db.native()
	defer native.jobsFree(handle)
	length, _, err := native.jobsLen(handle)
	if err != nil || length == 0 {
		return nil, err
	}
	views := make([]jobView, length)
	views[0] = *newJobView()
	if _, _, err = native.jobsViews(handle, 0, views); err != nil {
		return nil, err
	}
	jobs, worker := make([]*Job, length), views[0].workerID.text() // the same of all
	for i := range jobs {
		view := &views[i]
		jobs[i] = &Job{ID: view.id, Queue: view.queue.text(), Payload: view.payload.bytes(), WorkerID: worker,
			Attempts: view.attempts, MaxAttempts: view.maxAttempts, ClaimExpiresAt: view.claimExpiresAt, db: db, serial: view.serial}
		if view.metadata.len > 0 {
			// honker writes objects of texts. What else raw SQL has put there is left out.
			_ = json.Unmarshal(view.metadata.bytes(), &jobs[i].Metadata)
		}
	}
	return jobs, nil
}

// lostJobs copies what a worker has lost.
func (db *Database) lostJobs(handle uintptr) ([]lostJobView, error) {
	var lost []lostJobView
	for {
		views := make([]lostJobView, 8)
		views[0] = *newLostJobView()
		n, _, err := db.native().jobsLost(handle, len(lost), views)
		lost = append(lost, views[:n]...)
		if err != nil || n < len(views) {
			return lost, err
		}
	}
}

// Database is the database that the job was claimed from: a worker may have opened it.
func (j *Job) Database() *Database { return j.db }

// UnmarshalPayload decodes the payload with encoding/json; what is not JSON, or does not fit, is ErrInvalid, and is in
// Payload as it was enqueued.
func (j *Job) UnmarshalPayload(v any) error { return decode(j.Payload, v) }

// Ack says that the job is done, and removes it.
func (j *Job) Ack() (bool, error) { return j.settle(0, settleAck, 0, "") }

// Retry says that the job could not be done now. It becomes due again in delayS seconds or, if its attempts are used up, ends
// among the dead with the text message.
func (j *Job) Retry(delayS int64, message string) (bool, error) {
	return j.settle(0, settleRetry, delayS, message)
}

// Fail says that the job can never be done: it ends among the dead with the text message.
func (j *Job) Fail(message string) (bool, error) { return j.settle(0, settleFail, 0, message) }

// Release gives the job back: it is due again in delayS seconds, and this attempt does not count.
func (j *Job) Release(delayS int64) (bool, error) { return j.settle(0, settleRelease, delayS, "") }

// AckTx is Ack as a part of a transaction: what the job did there is done exactly once.
func (j *Job) AckTx(tx *Transaction) (bool, error) { return j.settleTx(tx, settleAck, 0, "") }

// RetryTx is Retry as a part of a transaction.
func (j *Job) RetryTx(tx *Transaction, delayS int64, message string) (bool, error) {
	return j.settleTx(tx, settleRetry, delayS, message)
}

// FailTx is Fail as a part of a transaction.
func (j *Job) FailTx(tx *Transaction, message string) (bool, error) {
	return j.settleTx(tx, settleFail, 0, message)
}

// ReleaseTx is Release as a part of a transaction.
func (j *Job) ReleaseTx(tx *Transaction, delayS int64) (bool, error) {
	return j.settleTx(tx, settleRelease, delayS, "")
}

func (j *Job) settleTx(tx *Transaction, kind uint32, delayS int64, message string) (bool, error) {
	if j.db == nil {
		return false, noJob()
	}
	return inTx(tx, j.db, func(handle uintptr) (bool, error) { return j.settle(handle, kind, delayS, message) })
}

func (j *Job) settle(tx uintptr, kind uint32, delayS int64, message string) (bool, error) {
	if j.db == nil {
		return false, noJob()
	}
	native, worker, text := j.db.native(), view(j.WorkerID), view(errorText(message))
	switch kind {
	case settleAck:
		return did(native.ack(j.db.handle, tx, j.ID, worker))
	case settleRetry:
		return did(native.retry(j.db.handle, tx, j.ID, worker, delayS, text))
	case settleRelease:
		return did(native.release(j.db.handle, tx, j.ID, worker, delayS))
	}
	return did(native.fail(j.db.handle, tx, j.ID, worker, text))
}

// Heartbeat makes the claim valid for extendS seconds from now, whatever it was before.
func (j *Job) Heartbeat(extendS int64) (bool, error) {
	if j.db == nil {
		return false, noJob()
	}
	return did(j.db.native().heartbeat(j.db.handle, 0, j.ID, view(j.WorkerID), extendS))
}

func noJob() error { return newError(StatusMisuse, "the job was not claimed from a database") }

// errorText is the text of an error as it can be stored: a worker must not die of the error that it reports.
func errorText(message string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(message, "\uFFFD"), "\x00", "\uFFFD")
}
