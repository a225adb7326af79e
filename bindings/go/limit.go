package honker

import "time"

// callersMax is how many goroutines may wait in the library to write, and how many to read. Each is a thread there, of which Go
// allows a process 10,000; with one more it ends. Further ones wait here, where a goroutine is no thread.
const callersMax = 500

// limit names the semaphore that a call needs a slot of, unless it is part of a transaction, which has its turn already.
type limit int

const (
	unlimited limit = iota
	writing
	reading
	limits
)

// limitOf has the functions that any number of goroutines may call at a time. Their second argument is the transaction, but for
// those that have none. Offsets are saved while the database is closed, when nobody else gets a slot.
var limitOf = [functionCount]limit{
	fnAck: writing, fnAckBatch: writing, fnBatchCreate: writing, fnBatchSeal: writing, fnCancel: writing, fnClaim: writing,
	fnEnqueue: writing, fnEnqueueMany: writing, fnFail: writing, fnHeartbeat: writing, fnJobApply: writing,
	fnLockAcquire: writing, fnLockRelease: writing, fnLockRenew: writing, fnNotify: writing, fnQueueConfigure: writing,
	fnRateLimitTry: writing, fnRelease: writing, fnResultSave: writing, fnRetry: writing, fnStepSave: writing, fnStreamPublish: writing,
	fnTxBegin:  writing,
	fnBatchGet: reading, fnDeadGroups: reading, fnGetJob: reading, fnJobList: reading, fnMetrics: reading, fnQuery: reading,
	fnQueueSettings: reading, fnQueueStats: reading, fnQueues: reading, fnResultGet: reading, fnStepGet: reading,
	fnStreamGetOffset: reading, fnStreamReadSince: reading,
}

// slots is the semaphore that the call needs a slot of; nil if it needs none.
func (c calls) slots(f function, args []uintptr) chan struct{} {
	if c.db == nil || limitOf[f] == unlimited || f != fnTxBegin && f != fnQuery && args[1] != 0 {
		return nil
	}
	return c.db.slots[limitOf[f]]
}

// acquire waits for a slot, for as long as the library waits for a lock.
func (db *Database) acquire(slots chan struct{}) *Error {
	select {
	case slots <- struct{}{}:
		return nil
	default:
	}
	interrupts := db.interrupts.Load()
	over := time.NewTimer(db.busyTimeout)
	defer over.Stop()
	select {
	case slots <- struct{}{}:
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
	<-slots
	return err
}
