// Package honker is durable job queues, event streams, notifications, locks, rate limits, results, outboxes and a cron
// scheduler in the SQLite file that an application already has.
//
// It calls libhonker, which is loaded when a database is opened and brings its own SQLite; there is no C compiler
// involved. README.md has the concepts, and examples a program for each thing.
//
// Errors are *Error, and match sentinels such as ErrBusy with errors.Is. An operation that fails has done nothing. What
// waits takes a context; that the context has ended is no error, but the zero value: no job, no event.
//
// Numbers that end in S are seconds, times are Unix seconds.
package honker
