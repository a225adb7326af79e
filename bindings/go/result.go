package honker

import (
	"context"
	"errors"
	"fmt"
	"unsafe"
)

// SaveResult saves the result of a job, replacing an earlier one: text, JSON by convention, stored as it is. It expires
// after ttlS seconds, or never if that is 0 or less. A worker saves before it acks.
func (db *Database) SaveResult(id int64, value string, ttlS int64) error {
	return db.saveResult(0, id, value, ttlS)
}

// SaveResultTx is SaveResult as a part of a transaction.
func (db *Database) SaveResultTx(tx *Transaction, id int64, value string, ttlS int64) error {
	handle, err := tx.use(db)
	if err != nil {
		return err
	}
	return tx.reason(db.saveResult(handle, id, value, ttlS))
}

func (db *Database) saveResult(tx uintptr, id int64, value string, ttlS int64) error {
	_, err := db.try(fnResultSave, db.handle, tx, uintptr(id), uintptr(text(value)), uintptr(len(value)), uintptr(ttlS))
	return err
}

// GetResult is the result of a job; nil if there is none, yet or any more.
func (db *Database) GetResult(id int64) (*string, error) {
	value, found, err := db.tryText(fnResultGet, db.handle, 0, uintptr(id))
	if !found {
		return nil, err
	}
	return &value, nil
}

// WaitResult waits for the result of a job. When ctx ends it is an error that wraps the context's. A job that ends without
// a result never has one.
func (db *Database) WaitResult(ctx context.Context, id int64) (string, error) {
	w, err := db.newWaiting(0, func(uintptr) (uintptr, error) { return 0, nil })
	if err != nil {
		return "", err
	}
	defer w.end()
	var value string
	found, err := w.await(ctx, func() (found bool, until pause, err error) {
		out := new(uintptr)
		status, err := w.try(fnResultWait, db.handle, w.waiter, uintptr(id), 0, uintptr(unsafe.Pointer(out)))
		if err == nil && status == statusOK {
			value, err = db.lib.takeText(*out)
			found = err == nil
		}
		return found, pause{after: readerFallback}, err
	})
	if !found && err == nil {
		outcome := "canceled"
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			outcome = "timed out"
		}
		err = fmt.Errorf("honker: wait_result(%d) %s: %w", id, outcome, ctx.Err())
	}
	return value, err
}

// SweepResults deletes expired results; how many that were.
func (db *Database) SweepResults() (int64, error) {
	swept := new(int64)
	_, err := db.try(fnResultSweep, db.handle, 0, uintptr(unsafe.Pointer(swept)))
	return *swept, err
}
