package honker

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// Durability says what a commit survives.
type Durability uint32

// JournalMode is SQLite's journal mode.
type JournalMode uint32

const (
	DurabilityNormal Durability = durabilityNormal // a crash of the process; a power cut may take the last commits back
	DurabilityFull   Durability = durabilityFull   // a power cut as well

	JournalWAL      JournalMode = journalWAL      // readers do not wait for the writer
	JournalDelete   JournalMode = journalDelete   // a rollback journal, deleted after each transaction
	JournalTruncate JournalMode = journalTruncate // the same, truncated
	JournalPersist  JournalMode = journalPersist  // the same, kept
)

// OpenOptions says how to open a database. The zero value has the defaults.
type OpenOptions struct {
	// WatcherBackend says how commits are noticed: "auto" (the default), "polling", "kernel" or "shm".
	WatcherBackend string
	// WatcherPollInterval is how often the back ends that poll look, in whole milliseconds. Default 1 ms.
	WatcherPollInterval time.Duration
	// BusyTimeout is how long a call waits for a lock that another process, or a transaction of this one, holds, in whole
	// milliseconds. Default 5 s; negative: not at all.
	BusyTimeout time.Duration
	// ReadersMax is how many reads may run at once, 1 to 1000. Default 8.
	ReadersMax uint32
	// Durability is DurabilityNormal by default.
	Durability Durability
	// JournalMode is JournalWAL by default.
	JournalMode JournalMode
	// WALAutocheckpointPages is after how many pages the write-ahead log is written back. Default 10000.
	WALAutocheckpointPages uint32
	// EnqueueMiddleware stands around what enqueues jobs, the first one outermost: it sees them, may change them or refuse, and
	// calls next. Jobs of schedules, and of EnqueueSQL, pass it by.
	EnqueueMiddleware []EnqueueMiddleware
}

// Database is an open SQLite file with honker's tables in it. Any number of goroutines may use it at the same time; those
// that write at the same moment share a commit.
type Database struct {
	lib     *library
	handle  uintptr
	path    string
	options OpenOptions

	closed     atomic.Bool
	interrupts atomic.Uint64
	// context ends when the database is closed, and background waits for the goroutines that this package has started.
	context    context.Context
	cancel     context.CancelFunc
	background sync.WaitGroup

	mu       sync.Mutex
	open     map[interface{ end() }]struct{} // what has to be ended before the database is closed
	warnings []error
	ended    chan struct{}

	dispatching   sync.Mutex  // held while the dispatcher is made
	dispatcher    *dispatcher // nil until there is a consumer
	noDescriptors bool        // set by tests: wait as on Windows

	slots       [limits]chan struct{} // see limit.go
	busyTimeout time.Duration
}

// Open opens a SQLite file, creating it if need be, and brings honker's tables in it up to date. In-memory databases are
// ErrInvalid: nobody else could see them. A path that begins with postgres:// is the URL of a server that has honker's schema (see
// On Postgres in README.md). libraryPath, of which there may be one, is the file of libhonker; without it that is the one
// that HONKER_LIBRARY names, the one that came with the module, the one next to the executable, or the system's.
//
// It returns a *LibraryError if libhonker cannot be loaded, else an *Error. A process that is killed leaves the file in
// order.
func Open(path string, libraryPath ...string) (*Database, error) {
	if len(libraryPath) > 1 {
		return nil, invalid(nil, "honker.Open takes one path of a library, not %d", len(libraryPath))
	}
	return OpenWithOptions(path, append(libraryPath, "")[0], OpenOptions{})
}

// OpenWithOptions is Open with options. An empty libraryPath means none.
func OpenWithOptions(path, libraryPath string, options OpenOptions) (*Database, error) {
	lib, err := loadLibrary(libraryPath)
	if err != nil {
		return nil, err
	}
	return lib.open(path, options)
}

func (lib *library) open(path string, options OpenOptions) (*Database, error) {
	opts := newOpenOpts()
	if options.BusyTimeout != 0 {
		opts.busyTimeoutMS = max(options.BusyTimeout.Milliseconds(), 0)
	}
	opts.readersMax = orDefault(options.ReadersMax, opts.readersMax)
	opts.durability = uint32(options.Durability)
	opts.journalMode = uint32(options.JournalMode)
	opts.walAutocheckpointPages = orDefault(options.WALAutocheckpointPages, opts.walAutocheckpointPages)
	opts.nesting = nestingWait // a goroutine is on one thread now and on another one then
	if options.WatcherBackend != "" {
		opts.watcherBackend = view(options.WatcherBackend)
	}
	if options.WatcherPollInterval != 0 {
		opts.watcherPollIntervalMS = options.WatcherPollInterval.Milliseconds()
	}
	db := &Database{lib: lib, path: path, options: options, open: map[interface{ end() }]struct{}{}, ended: make(chan struct{})}
	handle, status, err := lib.native().open(view(path), opts)
	if status != statusOK {
		return nil, err
	}
	db.handle = handle
	db.warn(err)
	db.context, db.cancel = context.WithCancel(context.Background())
	db.busyTimeout = max(time.Duration(opts.busyTimeoutMS)*time.Millisecond, time.Second) // calls that do not wait go by quickly
	for _, which := range []limit{writing, reading} {
		db.slots[which] = make(chan struct{}, callersMax)
	}
	runtime.SetFinalizer(db, func(db *Database) { go db.Close() }) // only for those who forget
	return db, nil
}

// Path is the path or URL that the database was opened with.
func (db *Database) Path() string { return db.path }

// Version is the version of libhonker, "1.2.3".
func (db *Database) Version() string { return db.lib.native().version() }

// Warning is nil, ErrUnsupported if something else in this process has the file open where that is not safe (see Concepts
// in README.md), ErrWatcher once commits turned out to be noticed in a worse way than was asked for, or both.
func (db *Database) Warning() error {
	db.mu.Lock()
	defer db.mu.Unlock()
	return errors.Join(db.warnings...)
}

func (db *Database) warn(err error) {
	if err != nil {
		db.mu.Lock()
		defer db.mu.Unlock()
		db.warnings = append(db.warnings, err)
	}
}

// Close closes the database; what waits is ended with ErrClosed, channels are closed, an open transaction is rolled back, and
// offsets of finished events are saved. When it returns the file is nobody's and this package has no goroutine left.
// Other calls that are running end with ErrClosed, later ones too. Any goroutine may call it, and again.
// On a nil Database, which is what Open returns with an error, it does nothing.
func (db *Database) Close() error {
	if db == nil {
		return nil
	}
	if !db.closed.CompareAndSwap(false, true) {
		<-db.ended
		return nil
	}
	defer close(db.ended)
	runtime.SetFinalizer(db, nil)
	db.cancel()
	_, _ = db.lib.native().interrupt(db.handle)                                         // before the writer is free: what waits for it is not to get it
	db.endAll(func(one interface{ end() }) bool { _, is := one.(*txState); return is }) // subscriptions may have to write
	db.endAll(func(interface{ end() }) bool { return true })
	db.background.Wait()
	db.dispatching.Lock()
	defer db.dispatching.Unlock()
	if db.dispatcher != nil {
		db.dispatcher.stop()
	}
	_, err := db.lib.native().close(db.handle)
	return err
}

func (db *Database) endAll(which func(interface{ end() }) bool) {
	db.mu.Lock()
	var ending []interface{ end() }
	for one := range db.open {
		if which(one) {
			ending = append(ending, one)
		}
	}
	db.mu.Unlock()
	for _, one := range ending {
		one.end()
	}
}

// Interrupt ends every call that is running or waiting on this database now, in whichever goroutine, with ErrInterrupted.
// Later calls are not affected.
func (db *Database) Interrupt() error {
	db.interrupts.Add(1)
	_, err := db.native().interrupt(db.handle)
	db.mu.Lock()
	defer db.mu.Unlock()
	for one := range db.open {
		if waits, is := one.(*waiting); is {
			waits.wake()
		}
	}
	return err
}

// keep registers what Close has to end; false if the database is closed.
func (db *Database) keep(one interface{ end() }) bool {
	db.mu.Lock()
	defer db.mu.Unlock()
	db.open[one] = struct{}{}
	return !db.closed.Load()
}

func (db *Database) forget(one interface{ end() }) {
	db.mu.Lock()
	defer db.mu.Unlock()
	delete(db.open, one)
}

// start runs f in a goroutine that Close waits for. The context that f gets ends with ctx and with the database.
func (db *Database) start(ctx context.Context, f func(ctx context.Context)) error {
	db.mu.Lock()
	defer db.mu.Unlock()
	if db.closed.Load() {
		return db.isClosed()
	}
	db.background.Add(1)
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(db.context, cancel)
	go func() {
		defer db.background.Done()
		defer cancel()
		defer stop()
		f(ctx)
	}()
	return nil
}

func (db *Database) isClosed() *Error { return newError(StatusClosedHandle, "the database is closed") }

// native makes the calls of this database.
func (db *Database) native() calls { return calls{lib: db.lib, db: db} }

// Query runs one statement of SQL that only reads, beside any writer; its rows are what is committed. honker's SQL
// functions are not there: use Transaction.Query for them. args are the values of ?1, ?2, ... in order: nil, integers,
// floats, bools, strings, []byte, a time.Time, which is stored as text that SQLite's date functions understand, or a
// driver.Valuer.
func (db *Database) Query(sql string, args ...any) ([]Row, error) {
	values, err := toValues(args)
	if err != nil {
		return nil, err
	}
	rows, _, err := db.native().query(db.handle, view(sql), values)
	if err != nil {
		return nil, err
	}
	return db.takeRows(rows)
}

// QueryRow is the first row of Query; the error, also that there is none (sql.ErrNoRows), is that of its Scan.
func (db *Database) QueryRow(sql string, args ...any) *Row { return firstRow(db.Query(sql, args...)) }

func orDefault[T comparable](value, otherwise T) T {
	var zero T
	if value == zero {
		return otherwise
	}
	return value
}

// Int64 is a pointer to a number, for options that may be absent.
func Int64(value int64) *int64 { return &value }

// String is a pointer to a text, for options that may be absent.
func String(value string) *string { return &value }

// optionals makes numbers for the library, where absent is noTime, and keeps the first error of that.
type optionals struct{ err error }

func (o *optionals) number(name string, value *int64) int64 {
	switch {
	case value == nil:
		return noTime
	case *value == noTime && o.err == nil:
		o.err = invalid(nil, "%s is too large: %d", name, *value)
	}
	return *value
}
