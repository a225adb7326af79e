package honker

import (
	"context"
	"errors"
	"fmt"
)

// SaveResult saves the result of a job, replacing an earlier one: text, JSON by convention, stored as it is. It expires
// after ttlS seconds, or never if that is 0 or less. A worker saves before it acks.
func (db *Database) SaveResult(id int64, value string, ttlS int64) error {
	return db.saveResult(0, id, value, ttlS)
}

// SaveResultTx is SaveResult as a part of a transaction.
func (db *Database) SaveResultTx(tx *Transaction, id int64, value string, ttlS int64) error {
	_, err := inTx(tx, db, func(handle uintptr) (struct{}, error) { return struct{}{}, db.saveResult(handle, id, value, ttlS) })
	return err
}

func (db *Database) saveResult(tx uintptr, id int64, value string, ttlS int64) error {
	_, err := db.native().resultSave(db.handle, tx, id, view(value), ttlS)
	return err
}

// GetResult is the result of a job; nil if there is none, yet or any more.
func (db *Database) GetResult(id int64) (*string, error) {
	value, found, err := db.lib.textOf(db.native().resultGet(db.handle, 0, id))
	if !found {
		return nil, err
	}
	return &value, nil
}

// WaitResult waits for the result of a job. When ctx ends it is an error that wraps the context's. A job that ends without
// a result never has one.
func (db *Database) WaitResult(ctx context.Context, id int64) (string, error) {
	w, err := db.newWaiting(calls.resultWaitFree, func(waiter uintptr, token uint64) (uintptr, error) {
		return valueOf(db.native().resultWaitNew(db.handle, waiter, token, id))
	})
	if err != nil {
		return "", err
	}
	defer w.end()
	var value string
	err = w.await(ctx, func() (found bool, err error) {
		value, found, err = db.lib.textOf(w.native().resultWaitNext(w.consumer, 0))
		return found, err
	})
	if isEndOf(ctx, err) {
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
	return valueOf(db.native().resultSweep(db.handle, 0))
}
