package honker

import (
	"errors"
	"fmt"
)

// Status is what a call of libhonker answered: 0 is success, a positive number an outcome to be expected, a negative one
// an error. The numbers never change. A newer library may answer one that is not listed here; it is an error like any
// other.
type Status int32

// String is the name of the status as it stands in honker.h, "HONKER_BUSY".
func (s Status) String() string {
	if name, known := statusNames[s]; known {
		return name
	}
	return fmt.Sprintf("HONKER_UNKNOWN(%d)", int32(s))
}

// Error is what every failed call returns, except for a library that cannot be loaded (*LibraryError) and the end of a
// context. An operation that fails has done nothing. It matches the sentinel of its status with errors.Is:
//
//	if errors.Is(err, honker.ErrBusy) { ... }
type Error struct {
	// Status says what kind of error it is.
	Status Status
	// Message says what happened, in words for the user of the program.
	Message string
	// SQLiteCode is SQLite's primary result code, 5 for SQLITE_BUSY; 0 if it was not SQLite that refused.
	SQLiteCode int
	// SQLiteExtendedCode is SQLite's extended result code, 517 for SQLITE_BUSY_SNAPSHOT.
	SQLiteExtendedCode int

	cause error
}

// What errors.Is compares an *Error with: two are the same kind if their statuses are.
var (
	ErrBusy        error = &Error{Status: StatusBusy}         // try again; nothing was done
	ErrConstraint  error = &Error{Status: StatusConstraint}   // a constraint of the application's own tables
	ErrClosed      error = &Error{Status: StatusClosedHandle} // the database, or what waits, is closed
	ErrInterrupted error = &Error{Status: StatusInterrupted}  // Database.Interrupt was called
	ErrInvalid     error = &Error{Status: StatusInvalid}      // an argument cannot be used
	ErrUTF8        error = &Error{Status: StatusUTF8}         // a text is not valid UTF-8
	ErrMisuse      error = &Error{Status: StatusMisuse}       // not the time for this call
	ErrReadonly    error = &Error{Status: StatusReadonly}     // the file cannot be written to
	ErrSQL         error = &Error{Status: StatusSQL}          // SQLite refused the statement
	ErrUnsupported error = &Error{Status: StatusUnsupported}  // this library, or this machine, cannot do that
	ErrWatcher     error = &Error{Status: StatusWatcher}      // the file was replaced: close and open again
	ErrSystem      error = &Error{Status: StatusSystem}       // no descriptors or threads are left
	ErrTooBig      error = &Error{Status: StatusTooBig}       // a text has more bytes than SQLite takes, a gigabyte
	ErrTooOld      error = &Error{Status: StatusTooOld}       // a newer honker changed the file: update this one
	ErrConnection  error = &Error{Status: StatusConnection}   // the server is away: try again
	ErrMoved       error = &Error{Status: StatusMoved}        // all that was here is in another database now: open that one
	ErrLost        error = &Error{Status: statusLost}         // the claim of a job is over: a step of it cannot be saved
)

// Error is the message, after the status where that says more.
func (e *Error) Error() string {
	if e.Message == "" {
		return "honker: " + e.Name()
	}
	return "honker: " + e.Message + " (" + e.Name() + ")"
}

// Name is the name of the status, "HONKER_BUSY".
func (e *Error) Name() string { return e.Status.String() }

// Is makes errors.Is compare statuses with those of the sentinels.
func (e *Error) Is(target error) bool {
	other, is := target.(*Error)
	return is && other.Message == "" && other.Status == e.Status
}

// Unwrap is the error behind this one, of encoding/json for instance; mostly nil.
func (e *Error) Unwrap() error { return e.cause }

func newError(status Status, format string, args ...any) *Error {
	return &Error{Status: status, Message: fmt.Sprintf(format, args...)}
}

func invalid(cause error, format string, args ...any) error {
	err := newError(StatusInvalid, format, args...)
	err.cause = cause
	return err
}

// isBusy reports whether trying again may help.
func isBusy(err error) bool { return errors.Is(err, ErrBusy) }
