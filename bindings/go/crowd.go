package honker

import "time"

// callersMax is how many goroutines may wait in the library to write, and how many to read. Each is a thread there, of which Go
// allows a process 10,000; with one more it ends. Further ones wait here, where a goroutine is no thread.
const callersMax = 500

// crowd is what calls wait for together, if they are not part of a transaction, which has its turn already.
type crowd int

const (
	nothing crowd = iota
	writing
	reading
	crowds
)

// waitsFor has the functions that any number of goroutines may call at a time. Their second argument is the transaction, but for
// those that have none. Offsets are saved while the database is closed, when nobody else gets a place.
var waitsFor = [functionCount]crowd{
	fnAck: writing, fnAckBatch: writing, fnCancel: writing, fnClaim: writing, fnEnqueue: writing, fnEnqueueMany: writing,
	fnFail: writing, fnHeartbeat: writing, fnLockAcquire: writing, fnLockRelease: writing, fnLockRenew: writing, fnNotify: writing,
	fnRateLimitTry: writing, fnRelease: writing, fnResultSave: writing, fnRetry: writing, fnStreamPublish: writing,
	fnTxBegin: writing,
	fnGetJob:  reading, fnQuery: reading, fnQueueStats: reading, fnResultGet: reading, fnStreamGetOffset: reading, fnStreamReadSince: reading,
}

// places are those that the call needs one of; nil if it needs none.
func (c calls) places(f function, args []uintptr) chan struct{} {
	if c.db == nil || waitsFor[f] == nothing || f != fnTxBegin && f != fnQuery && args[1] != 0 {
		return nil
	}
	return c.db.places[waitsFor[f]]
}

// enter waits for a place among those that wait in the library, for as long as the library waits for a lock.
func (db *Database) enter(places chan struct{}) *Error {
	select {
	case places <- struct{}{}:
		return nil
	default:
	}
	interrupts := db.interrupts.Load()
	over := time.NewTimer(db.busyTimeout)
	defer over.Stop()
	select {
	case places <- struct{}{}:
	case <-over.C:
		return newError(StatusBusy, "%d other calls of this process have waited for too long", callersMax)
	case <-db.context.Done():
		return db.isClosed()
	}
	var err *Error
	switch {
	case db.closed.Load():
		err = db.isClosed()
	case db.interrupts.Load() != interrupts:
		err = newError(StatusInterrupted, "ended by Interrupt")
	default:
		return nil
	}
	<-places
	return err
}
