// Package honker is durable job queues, event streams, notifications, locks, rate limits, results, outboxes and a cron
// scheduler in the SQLite file that an application already has.
//
// It calls libhonker, which is loaded when a database is opened and brings its own SQLite; there is no C compiler
// involved. README.md has the concepts, and examples a program for each thing.
//
// Errors are *Error, and match sentinels such as ErrBusy with errors.Is. An operation that fails has done nothing. What
// waits takes a context. If the context ends, the call returns the zero value (no job, no event) and no error.
//
// Numbers whose names end in S are seconds, and so are EnqueueOptions.Delay and Expires; times are Unix seconds.
package honker
