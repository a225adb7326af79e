package honker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime/debug"
)

// Step runs f once for the job, whatever becomes of the job's other parts: what it returned is saved, as encoding/json makes it, and
// later attempts get that. An error of f's saves nothing. If the process dies between the end of f and the commit that saves it, f is
// run again; StepTx has no such gap.
//
// What f returned may have no JSON, as NaN, a channel, and a text that is not UTF-8 have none, or more of it than SQLite takes (a
// gigabyte). The error is ErrInvalid, ErrUTF8 or ErrTooBig then, and a Verdict as Discard makes it: a handler that returns it,
// wrapped or not, leaves its job among the dead, since another attempt would run f again. Of StepTx what f wrote is rolled back.
//
// A job that is not its worker's any more is ErrLost: the step is not saved, and another attempt runs it again. Steps are kept
// for as long as the job is live, dead, or kept as done.
//
//	receipt, err := honker.Step(ctx, job, "charge", func(ctx context.Context) (Receipt, error) { ... })
func Step[T any](ctx context.Context, job *Job, name string, f func(ctx context.Context) (T, error)) (T, error) {
	var none T
	if value, saved, err := savedStep[T](job, 0, name); saved || err != nil {
		return value, err
	}
	if err := ctx.Err(); err != nil {
		return none, err
	}
	value, err := f(ctx)
	if err != nil {
		return none, err
	}
	return saveStep(job, 0, name, value)
}

// StepTx runs f once, in a transaction in which what it returned is saved: what f writes there is done exactly once. It begins the
// transaction, as Database.Transaction does, and commits or rolls back. f uses the functions with Tx: others would wait for it.
func StepTx[T any](ctx context.Context, job *Job, name string, f func(ctx context.Context, tx *Transaction) (T, error)) (T, error) {
	var none T
	if value, saved, err := savedStep[T](job, 0, name); saved || err != nil {
		return value, err // without the lock
	}
	tx, err := job.db.Transaction(ctx)
	if err != nil {
		return none, err
	}
	defer func() { _ = tx.Rollback() }() // does nothing after Commit
	if value, saved, err := savedStep[T](job, tx.handle, name); saved || err != nil {
		return value, tx.why(err)
	}
	value, err := f(ctx, tx)
	if err != nil {
		return none, err
	}
	handle, err := tx.use(job.db)
	if err != nil {
		return none, err
	}
	value, err = saveStep(job, handle, name, value)
	if err != nil {
		return none, tx.why(err)
	}
	return value, tx.Commit()
}

// StepIn runs f once, as a part of a transaction of the caller's: with its commit the step is saved, together with whatever else is
// written in it, and with its rollback it is not.
func StepIn[T any](ctx context.Context, tx *Transaction, job *Job, name string, f func(ctx context.Context) (T, error)) (T, error) {
	var none T
	if job.db == nil {
		return none, noJob()
	}
	handle, err := tx.use(job.db)
	if err != nil {
		return none, err
	}
	if value, saved, err := savedStep[T](job, handle, name); saved || err != nil {
		return value, tx.why(err)
	}
	if err := ctx.Err(); err != nil {
		return none, err
	}
	value, err := f(ctx)
	if err != nil {
		return none, err
	}
	if handle, err = tx.use(job.db); err != nil {
		return none, err // f has ended it
	}
	value, err = saveStep(job, handle, name, value)
	return value, tx.why(err)
}

// Step is the function Step for what returns nothing but an error.
func (j *Job) Step(ctx context.Context, name string, f func(ctx context.Context) error) error {
	_, err := Step(ctx, j, name, func(ctx context.Context) (any, error) { return nil, f(ctx) })
	return err
}

// StepTx is the function StepTx for what returns nothing but an error.
func (j *Job) StepTx(ctx context.Context, name string, f func(ctx context.Context, tx *Transaction) error) error {
	_, err := StepTx(ctx, j, name, func(ctx context.Context, tx *Transaction) (any, error) { return nil, f(ctx, tx) })
	return err
}

// savedStep is what was saved for a step; false if nothing was.
func savedStep[T any](job *Job, tx uintptr, name string) (value T, saved bool, err error) {
	if job.db == nil {
		return value, false, noJob()
	}
	text, saved, err := job.db.lib.textOf(job.db.native().stepGet(job.db.handle, tx, job.ID, view(name)))
	if saved {
		value, err = decodeStep[T](name, text)
	}
	return value, saved, err
}

// saveStep saves it; what is stored, which is what somebody else has saved meanwhile.
func saveStep[T any](job *Job, tx uintptr, name string, value T) (stored T, err error) {
	encoded, err := encodeStep(name, value)
	if err != nil {
		return stored, notSaved(name, err)
	}
	handle, status, err := job.db.native().stepSave(job.db.handle, tx, job.ID, view(job.WorkerID), view(name), viewOf(encoded))
	if err == nil && status == statusLost {
		return stored, newError(statusLost, "the job %d is not its worker's any more: the step %q is not saved", job.ID, name)
	}
	text, _, err := job.db.lib.textOf(handle, status, err)
	if errors.Is(err, ErrUTF8) || errors.Is(err, ErrTooBig) { // the former of a json.RawMessage
		err = notSaved(name, err)
	}
	if err != nil {
		return stored, err
	}
	if stored, err = decodeStep[T](name, text); err != nil && tx != 0 {
		err = notSaved(name, err)
	}
	return stored, err
}

// encodeStep is encode; a MarshalJSON that panics is an error.
func encodeStep(name string, value any) (encoded []byte, err error) {
	defer func() {
		if cause := recover(); cause != nil {
			err = &PanicError{cause, debug.Stack()}
		}
	}()
	return encode("value of the step "+name, value)
}

// notSaved discards the job: another attempt would run the step again, and come to the same.
func notSaved(name string, err error) error {
	return Discard(fmt.Errorf("the step %q has run, and is not saved: %w", name, err))
}

func decodeStep[T any](name, text string) (value T, err error) {
	if cause := json.Unmarshal([]byte(text), &value); cause != nil {
		err = invalid(cause, "what is saved of the step %q cannot be decoded: %v", name, cause)
	}
	return value, err
}
