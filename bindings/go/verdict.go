package honker

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Verdict is an error with which a handler says what is to become of its job: see Snooze, RetryAfter and Discard.
type Verdict struct {
	kind   uint32
	delayS int64
	cause  error
}

// Error is the text of the error that it was made of.
func (v *Verdict) Error() string {
	if v.cause == nil {
		return map[uint32]string{settleSnooze: "snoozed", settleFail: "discarded", settleRetry: "to be retried"}[v.kind]
	}
	return v.cause.Error()
}

// IsFailure is false for Snooze: the job did not fail.
func (v *Verdict) IsFailure() bool { return v.kind != settleSnooze }

// Unwrap is the error that it was made of.
func (v *Verdict) Unwrap() error { return v.cause }

// Snooze makes the job due again after delay, and this attempt does not count. Whole seconds, rounded up.
func Snooze(delay time.Duration) error {
	return &Verdict{settleSnooze, wholeSeconds(max(delay, 0)), nil}
}

// RetryAfter makes the job due again after delay, whatever the worker's backoff says. Whole seconds, rounded up. It is
// among the dead, with the error's text, if that was its last attempt.
func RetryAfter(delay time.Duration, err error) error {
	return &Verdict{settleRetry, wholeSeconds(max(delay, 0)), err}
}

// Discard says that the job can never be done: it is among the dead with the error's text.
func Discard(err error) error { return &Verdict{settleFail, 0, err} }

// wholeSeconds rounds away from zero, so that a negative duration stays one.
func wholeSeconds(d time.Duration) int64 {
	seconds := d / time.Second
	switch rest := d % time.Second; {
	case rest > 0:
		seconds++
	case rest < 0:
		seconds--
	}
	return int64(seconds)
}

// What context.Cause says of a handler's context that has ended. It is an *Error with the status of the database's when that
// was closed or its file replaced.
var (
	ErrStopping   = errors.New("honker: the worker stops")
	ErrJobGone    = errors.New("honker: the job was lost: it was cancelled, or settled by somebody else")
	ErrJobLapsed  = errors.New("honker: the job was lost: its claim was over")
	ErrJobTaken   = errors.New("honker: the job was lost: its claim was over, and it was claimed again")
	ErrJobTimeout = fmt.Errorf("honker: the job was lost: it ran for longer than MaxRun: %w", context.DeadlineExceeded)
)

var lostCauses = map[uint32]error{lostGone: ErrJobGone, lostLapsed: ErrJobLapsed, lostTaken: ErrJobTaken, lostTimeout: ErrJobTimeout}

// errExited is the failure of a handler that called runtime.Goexit.
var errExited = errors.New("the handler ended its goroutine")

// PanicError is the failure of a job whose handler panicked.
type PanicError struct {
	// Value is what the handler panicked with.
	Value any
	// Stack is where.
	Stack []byte
}

// Error is the panic and the stack, as it is stored with the job.
func (e *PanicError) Error() string {
	return e.message() + "\n\n" + string(e.Stack[:min(len(e.Stack), 8<<10)])
}

func (e *PanicError) message() (text string) {
	defer func() {
		if recover() != nil { // printing it panicked as well
			text = fmt.Sprintf("panic: %T", e.Value)
		}
	}()
	return fmt.Sprintf("panic: %v", e.Value)
}

// Unwrap is the error that the handler panicked with, if it was one.
func (e *PanicError) Unwrap() error {
	err, _ := e.Value.(error)
	return err
}
