package honker

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"os"
)

// Lock is a lock that was taken; made by Database.TryLock. Any goroutine may use it. A process that dies gives it back when its time is over.
type Lock struct {
	Name  string
	Owner string
	db    *Database
}

// TryLock takes a lock for ttlS seconds if it is free, or the time of who had it is over; nil if somebody else has it.
// owner is a name that nobody else may have: who has the lock already gets it, without extending it. An empty one is a
// random one.
func (db *Database) TryLock(name, owner string, ttlS int64) (*Lock, error) {
	if owner == "" {
		owner = randomName()
	}
	status, err := db.native().lockAcquire(db.handle, 0, view(name), view(owner), ttlS)
	if err != nil || status != statusOK {
		return nil, err
	}
	return &Lock{Name: name, Owner: owner, db: db}, nil
}

// Release gives the lock up. False if somebody else has it by now; that one keeps it.
func (l *Lock) Release() (bool, error) {
	return did(l.db.native().lockRelease(l.db.handle, 0, view(l.Name), view(l.Owner)))
}

// Heartbeat extends the lock to ttlS seconds from now, which must be positive. False if somebody else took it.
func (l *Lock) Heartbeat(ttlS int64) (bool, error) {
	return did(l.db.native().lockRenew(l.db.handle, 0, view(l.Name), view(l.Owner), ttlS))
}

// TryRateLimit counts one use of name, and is true, if there were fewer than limit in the current window of perS
// seconds. Windows are aligned to multiples of their length, and shared by all who use the file. Both numbers must be
// positive.
func (db *Database) TryRateLimit(name string, limit, perS int64) (bool, error) {
	return did(db.native().rateLimitTry(db.handle, 0, view(name), limit, perS))
}

// SweepRateLimits deletes the counts of windows that began more than olderThanS seconds ago; how many that were.
func (db *Database) SweepRateLimits(olderThanS int64) (int64, error) {
	return valueOf(db.native().rateLimitSweep(db.handle, 0, olderThanS))
}

// workerName is such a name too, for people.
func workerName() string {
	host, _ := os.Hostname()
	return fmt.Sprintf("%s-%d-%s", errorText(orDefault(host, "host")), os.Getpid(), randomName()[:8])
}

// randomName is a name that nobody else has.
func randomName() string {
	var random [16]byte
	_, _ = rand.Read(random[:]) // never fails where Go runs
	return hex.EncodeToString(random[:])
}
