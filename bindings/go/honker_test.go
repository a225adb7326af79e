package honker

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
)

// open opens a database, and makes sure that closing it leaves nothing.
// replace puts the file with the name of the database and ".new" in its place. The old file goes first: who opened it without its log
// would find it as it was some time ago.
func replace(t *testing.T, db *Database) {
	t.Helper()
	must(t, 0, os.Rename(db.Path(), db.Path()+".old"))
	for _, old := range []string{"-wal", "-shm"} { // SQLite would take them for the new file's
		must(t, 0, os.Remove(db.Path()+old))
	}
	must(t, 0, os.Rename(db.Path()+".new", db.Path()))
}

func open(t *testing.T, options ...OpenOptions) *Database {
	t.Helper()
	if os.Getenv("HONKER_LIBRARY") == "" {
		t.Fatal("HONKER_LIBRARY is not set: tests/run does that")
	}
	path := filepath.Join(t.TempDir(), "app.db")
	if r, w, err := os.Pipe(); err == nil { // Go's poller has descriptors of its own, from the first use on
		r.Close()
		w.Close()
	}
	before, descriptors := runtime.NumGoroutine(), wakers()
	db, err := OpenWithOptions(path, "", append(options, OpenOptions{})[0])
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
		noneIsLeft(t, before, descriptors)
	})
	return db
}

// wakers is how many descriptors there are to wait with; those of the database are kept, for its locks.
func wakers() int {
	n := 0
	entries, _ := os.ReadDir("/proc/self/fd")
	for _, entry := range entries {
		target, _ := os.Readlink("/proc/self/fd/" + entry.Name())
		if strings.HasPrefix(target, "anon_inode:") {
			n++
		}
	}
	return n
}

// noneIsLeft makes sure that neither goroutines nor descriptors are left.
func noneIsLeft(t *testing.T, goroutines, descriptors int) {
	t.Helper()
	for range 3000 {
		if runtime.NumGoroutine() <= goroutines && wakers() <= descriptors {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	stacks := make([]byte, 1<<16)
	t.Errorf("%d descriptors, there were %d; %d goroutines, there were %d\n%s", wakers(), descriptors, runtime.NumGoroutine(), goroutines,
		stacks[:runtime.Stack(stacks, true)])
}

// execute runs one statement of SQL.
func execute(t *testing.T, db *Database, sql string) {
	t.Helper()
	tx, err := db.Begin()
	must(t, tx, err)
	must(t, 0, second(tx.Exec(sql)))
	must(t, 0, tx.Commit())
}

func must[T any](t *testing.T, value T, err error) T {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	return value
}

func want[T any](t *testing.T, got, want T) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("%#v, expected %#v", got, want)
	}
}

func wantError(t *testing.T, err, kind error, words ...string) {
	t.Helper()
	var failed *Error
	if !errors.Is(err, kind) || !errors.As(err, &failed) || failed.Message == "" {
		t.Fatalf("%#v, expected %v", err, kind)
	}
	for _, word := range words {
		if !strings.Contains(err.Error(), word) {
			t.Fatalf("%v does not say %q", err, word)
		}
	}
}

// within is for what would otherwise take much longer.
func within(t *testing.T, limit time.Duration, what func()) {
	t.Helper()
	start := time.Now()
	what()
	if took := time.Since(start); took > limit {
		t.Fatalf("it took %v", took)
	}
}

func TestLibraryThatIsNotThere(t *testing.T) {
	dir := t.TempDir()
	_, err := Open(filepath.Join(dir, "app.db"), "./nowhere/libhonker.so")
	var failed *LibraryError
	if !errors.As(err, &failed) || len(failed.Tried) != 1 || !strings.Contains(failed.Tried[0], "nowhere/libhonker.so: ") ||
		!filepath.IsAbs(failed.Tried[0]) || !strings.Contains(err.Error(), "HONKER_LIBRARY") {
		t.Fatal(err)
	}

	named := os.Getenv("HONKER_LIBRARY")
	t.Setenv("HONKER_LIBRARY", "")
	if _, err = Open(filepath.Join(dir, "app.db")); err != nil { // unless the system has one
		if !errors.As(err, &failed) || len(failed.Tried) != 3 || !strings.HasPrefix(failed.Tried[0], bundledName+": ") ||
			!strings.HasPrefix(failed.Tried[2], libraryName+": ") {
			t.Fatal(err)
		}
	}
	t.Setenv("HONKER_LIBRARY", filepath.Join(dir, "wrong"))
	if err := os.WriteFile(filepath.Join(dir, "wrong"), []byte("no library"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err = Open(filepath.Join(dir, "app.db")); !errors.As(err, &failed) || !strings.Contains(failed.Tried[0], "wrong: ") {
		t.Fatal(err)
	}
	db := must2(t)(Open(filepath.Join(dir, "app.db"), named)) // an argument prevails
	want(t, db.Close(), nil)

	_, err = Open("app.db", "a", "b")
	wantError(t, err, ErrInvalid)
	_, err = Open("app.db", "a\x00b")
	wantError(t, err, ErrInvalid, "NUL")
}

func TestDatabaseThatIsNil(t *testing.T) {
	db, err := Open(filepath.Join(t.TempDir(), "app.db"), "/nowhere/libhonker.so")
	if db != nil || err == nil {
		t.Fatal(db, err)
	}
	want(t, db.Close(), nil) // deferred before the error was looked at, say
	defer func() {
		if why := fmt.Sprint(recover()); !strings.Contains(why, "the *Database is nil: Open returned an error") {
			t.Error(why)
		}
	}()
	db.Queue("q", QueueOptions{})
}

func must2(t *testing.T) func(*Database, error) *Database {
	return func(db *Database, err error) *Database { t.Helper(); return must(t, db, err) }
}

func TestLibraryOfAnotherVersion(t *testing.T) {
	const needed = 1<<16 + 2
	for version, fits := range map[uint32]bool{needed: true, needed + 1: true, needed - 1: false, 2 << 16: false, 0: false} {
		err := checkABI(version, needed)
		if (err == nil) != fits {
			t.Error(version, err)
		}
		if err != nil && !strings.Contains(err.Error(), "1.2") {
			t.Error(err)
		}
	}
	// libc is a library, but another one.
	var failed *LibraryError
	_, err := openLibrary("libc.so.6")
	if err == nil || !strings.Contains(err.Error(), "honker_abi_version") || errors.As(err, &failed) {
		t.Error(err)
	}
}

func TestBadInput(t *testing.T) {
	db := open(t)
	q := db.Queue("q", QueueOptions{})
	none := EnqueueOptions{}
	_, err := q.Enqueue(make(chan int), none)
	wantError(t, err, ErrInvalid, "chan int")
	var cause *json.UnsupportedTypeError
	want(t, errors.As(err, &cause), true)
	_, err = q.Enqueue(math.NaN(), none)
	wantError(t, err, ErrInvalid)
	_, err = q.Enqueue(json.RawMessage(`{"a":`), none)
	wantError(t, err, ErrInvalid)
	_, err = q.Enqueue(map[string]string{"a": "\xff"}, none)
	wantError(t, err, ErrUTF8)
	_, err = q.EnqueueMany([]any{1, "\xff"}, none)
	wantError(t, err, ErrUTF8)
	id, err := q.Enqueue("\uFFFD \\ufffd \\\\", none) // the character itself, and what looks like it
	want(t, must(t, id, err), 1)
	_, err = db.Queue("a\x00b", QueueOptions{}).Enqueue(1, none)
	wantError(t, err, ErrInvalid, "NUL")
	_, err = db.Queue("\xff", QueueOptions{}).Enqueue(1, none)
	wantError(t, err, ErrUTF8)
	_, err = db.Listener("a\x00b")
	wantError(t, err, ErrInvalid)
	for _, options := range []EnqueueOptions{{Delay: Int64(math.MaxInt64)}, {RunAt: Int64(math.MaxInt64)}, {Expires: Int64(math.MaxInt64)}} {
		_, err = q.Enqueue(1, options)
		wantError(t, err, ErrInvalid, "too large")
	}
	_, err = db.PruneNotifications(nil, Int64(-1))
	wantError(t, err, ErrInvalid, "negative")
	_, err = db.PruneNotifications(Int64(math.MaxInt64), nil)
	wantError(t, err, ErrInvalid)
	_, err = db.Scheduler().TickAt(math.MaxInt64)
	wantError(t, err, ErrInvalid)
	err = db.Scheduler().Add(ScheduledTask{Name: "a", Queue: "q", Schedule: "@daily", Cron: "@hourly"})
	wantError(t, err, ErrInvalid)
	err = db.Scheduler().Add(ScheduledTask{Name: "a", Queue: "q", Cron: "99 * * * *"})
	wantError(t, err, ErrInvalid, "out of range")
	_, err = db.Outbox("o", nil, OutboxOptions{})
	wantError(t, err, ErrInvalid)
	wantError(t, q.Work(context.Background(), "w", 0, nil), ErrInvalid)
	_, err = (&Job{ID: 1}).Ack()
	wantError(t, err, ErrMisuse)
	_, err = Open(":memory:")
	wantError(t, err, ErrInvalid)
	_, err = OpenWithOptions(filepath.Join(t.TempDir(), "a"), "", OpenOptions{WatcherBackend: "KERNEL"})
	wantError(t, err, ErrInvalid, "unknown watcher backend")
	_, err = Open("/nowhere/app.db")
	wantError(t, err, &Error{Status: StatusCannotOpen})
	var failed *Error
	want(t, errors.As(err, &failed) && failed.SQLiteCode == 14, true)
	job := must2job(t)(q.ClaimOne("w"))
	wantError(t, job.UnmarshalPayload(new(int)), ErrInvalid)
	held, err := job.Fail("what \xff\x00")
	want(t, must(t, held, err), true)
	want(t, must2dead(t)(q.DeadJobs(-1))[0].LastError != nil, true)
}

func must2job(t *testing.T) func(*Job, error) *Job {
	return func(job *Job, err error) *Job {
		t.Helper()
		if must(t, job, err) == nil {
			t.Fatal("there is no job")
		}
		return job
	}
}

func must2dead(t *testing.T) func([]DeadJob, error) []DeadJob {
	return func(dead []DeadJob, err error) []DeadJob { t.Helper(); return must(t, dead, err) }
}

func TestEmptyTexts(t *testing.T) {
	db := open(t)
	q := db.Queue("", QueueOptions{})
	must(t, 0, second(q.Enqueue("", EnqueueOptions{})))
	must(t, 0, second(db.Queue("other", QueueOptions{}).Enqueue(1, EnqueueOptions{})))
	stats, err := q.Stats()
	want(t, must(t, stats, err), QueueStats{Queue: "", Pending: 1})
	job := must2job(t)(q.ClaimOne(""))
	want(t, job.Queue+job.WorkerID+string(job.Payload), `""`)
	held, err := job.Fail("")
	want(t, must(t, held, err), true)
	want(t, len(must2dead(t)(q.DeadJobs(-1))), 1)
	n, err := q.AckBatch(nil, "w")
	want(t, must(t, n, err), 0)
	ids, err := q.EnqueueMany(nil, EnqueueOptions{})
	want(t, len(must(t, ids, err)), 0)

	s := db.Stream("")
	must(t, 0, second(s.PublishWithKey("", nil)))
	must(t, 0, second(s.Publish(nil)))
	events, err := s.ReadSince(0, -1)
	must(t, events, err)
	want(t, *events[0].Key, "")
	want(t, events[1].Key, nil)
	empty := ""
	sub, err := s.Subscription(SubscribeOptions{Consumer: &empty})
	must(t, sub, err)
	for range 2 {
		must(t, 0, second(sub.Poll()))
	}
	want(t, sub.Close(), nil)
	offset, err := s.GetOffset("")
	want(t, must(t, offset, err), 1)
	row := db.QueryRow("SELECT ?1, ?2, typeof(?3)", "", []byte{}, nil)
	var text, kind string
	var blob []byte
	want(t, row.Scan(&text, &blob, &kind), nil)
	want(t, text == "" && blob != nil && len(blob) == 0 && kind == "null", true)
	want(t, db.SaveResult(7, "", 0), nil)
	value, err := db.GetResult(7)
	want(t, *must(t, value, err), "")
	var v any = 1
	want(t, (&Job{}).UnmarshalPayload(&v), nil) // empty text is null
	want(t, v, nil)
}

func second[T any](_ T, err error) error { return err }

type named int8

func TestValues(t *testing.T) {
	db := open(t)
	tx, err := db.Begin()
	must(t, tx, err)
	defer tx.Rollback()
	number := 5
	row := tx.QueryRow("SELECT ?, ?, ?, ?, ?, ?, ?, ?", int64(math.MinInt64), uint8(200), named(-3), &number, 1.5, true, "ä\x00"[:2], sql.NullString{})
	var smallest, largeInt int64
	var byteValue uint8
	var name named
	var pointer *int
	var real float64
	var yes bool
	var text string
	var null sql.NullString
	want(t, row.Scan(&smallest, &byteValue, &name, &pointer, &real, &yes, &text, &null), nil)
	want(t, []any{smallest, byteValue, name, *pointer, real, yes, text, null.Valid}, []any{int64(math.MinInt64), uint8(200), named(-3), 5, 1.5, true, "ä", false})
	wantError(t, tx.QueryRow("SELECT 300").Scan(&byteValue), ErrInvalid)
	wantError(t, tx.QueryRow("SELECT NULL").Scan(&largeInt), ErrInvalid)
	wantError(t, tx.QueryRow("SELECT 1").Scan(), ErrInvalid)
	wantError(t, tx.QueryRow("SELECT 'a'").Scan(&real), ErrInvalid)
	wantError(t, tx.QueryRow("SELECT 1").Scan(real), ErrInvalid)
	want(t, errors.Is(tx.QueryRow("SELECT 1 WHERE 0").Scan(&real), sql.ErrNoRows), true)
	wantError(t, tx.QueryRow("SELECT * FROM nothing").Scan(&real), ErrSQL, "nothing")
	for _, bad := range []any{uint64(math.MaxUint64), struct{}{}, []int{1}} {
		_, err = tx.Exec("SELECT ?", bad)
		wantError(t, err, ErrInvalid, "parameter 1")
	}
	at := time.Date(2026, 11, 29, 13, 0, 0, 123456789, time.FixedZone("", 3600))
	var back time.Time
	var unix int64
	var absent *time.Time
	var none *sql.NullInt64 // a Valuer
	want(t, tx.QueryRow("SELECT ?1, CAST(strftime('%s', ?1) AS INTEGER), ?2, ?3", at, absent, none).Scan(&back, &unix, &absent, &pointer), nil)
	want(t, []any{back.Equal(at), unix, absent == nil, pointer == nil}, []any{true, at.Unix(), true, true})
	wantError(t, tx.QueryRow("SELECT 'noon'").Scan(&back), ErrInvalid)
	wantError(t, tx.QueryRow("SELECT 5").Scan(&back), ErrInvalid)
	_, err = tx.Exec("SELECT ?", 1, 2)
	wantError(t, err, ErrInvalid)
	rows, err := tx.Query("SELECT 1 AS one UNION ALL SELECT 2")
	want(t, must(t, rows, err)[1].Values, []any{int64(2)})
	want(t, rows[0].Columns, []string{"one"})
}

func TestTransactions(t *testing.T) {
	db := open(t, OpenOptions{BusyTimeout: 100 * time.Millisecond})
	q := db.Queue("q", QueueOptions{})
	tx, err := db.Begin()
	must(t, tx, err)
	var failed *Error
	_, err = db.Begin()
	want(t, errors.As(err, &failed) && errors.Is(err, ErrBusy), true)
	_, err = q.Enqueue(1, EnqueueOptions{})
	want(t, errors.Is(err, ErrBusy), true)
	must(t, 0, second(q.EnqueueTx(tx, 1, EnqueueOptions{})))
	want(t, tx.Commit(), nil)
	wantError(t, tx.Rollback(), ErrMisuse, "over")
	_, err = q.EnqueueTx(tx, 2, EnqueueOptions{})
	wantError(t, err, ErrMisuse)
	for _, none := range []*Transaction{nil, {}} { // would be enqueued at once if it were taken for no transaction
		_, err = q.EnqueueTx(none, 3, EnqueueOptions{})
		wantError(t, err, ErrMisuse, "nil")
		_, err = none.Exec("SELECT 1")
		wantError(t, err, ErrMisuse)
		wantError(t, none.Commit(), ErrMisuse)
	}
	other := open(t)
	tx2, err := other.Begin()
	must(t, tx2, err)
	_, err = q.EnqueueTx(tx2, 3, EnqueueOptions{})
	wantError(t, err, ErrMisuse, "another database")
	stats, err := q.Stats()
	want(t, must(t, stats, err).Pending, 1)
}

func TestTransactionsEndWithTheirContext(t *testing.T) {
	db := open(t)
	ctx, cancel := context.WithCancel(context.Background())
	tx, err := db.Transaction(ctx)
	must(t, tx, err)
	must(t, 0, second(db.Queue("q", QueueOptions{}).EnqueueTx(tx, 1, EnqueueOptions{})))
	soon, cancelSoon := context.WithTimeout(context.Background(), 30*time.Millisecond)
	defer cancelSoon()
	_, err = db.Transaction(soon)
	want(t, errors.Is(err, context.DeadlineExceeded), true)
	cancel()
	_, err = db.Transaction(ctx)
	want(t, errors.Is(err, context.Canceled), true)
	must(t, 0, second(db.Queue("q", QueueOptions{}).Enqueue(2, EnqueueOptions{}))) // or ErrBusy
	want(t, errors.Is(tx.Commit(), context.Canceled), true)
	stats, err := db.Queue("q", QueueOptions{}).Stats()
	want(t, must(t, stats, err).Pending, 1)

	tx, err = db.Begin()
	must(t, tx, err)
	done := make(chan error)
	go func() { done <- second(db.Transaction(context.Background())) }()
	time.Sleep(50 * time.Millisecond)
	want(t, db.Close(), nil)
	wantError(t, <-done, ErrClosed)
	wantError(t, tx.Commit(), ErrClosed)
}

func TestForgotten(t *testing.T) {
	db := open(t)
	func() {
		tx, err := db.Begin()
		must(t, tx, err)
		waker, err := db.Queue("q", QueueOptions{}).ClaimWaker()
		must(t, waker, err)
	}()
	for range 1000 { // finalizers run when they run
		runtime.GC()
		db.mu.Lock()
		n := len(db.open)
		db.mu.Unlock()
		if n == 0 {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Error("what is forgotten stays")
}

// TestGarbage makes collections happen all the time while texts and structs are passed to the library.
func TestGarbage(t *testing.T) {
	db := open(t)
	stop := make(chan struct{})
	var collecting sync.WaitGroup
	collecting.Add(1)
	go func() {
		defer collecting.Done()
		for {
			select {
			case <-stop:
				return
			default:
				runtime.GC()
			}
		}
	}()
	var users sync.WaitGroup
	for g := range 4 {
		users.Add(1)
		go func() {
			defer users.Done()
			q := db.Queue(fmt.Sprint("queue-", g), QueueOptions{})
			for i := range 100 {
				text := strings.Repeat(fmt.Sprint(g, i), 50)
				if _, err := q.EnqueueMany([]any{text, text}, EnqueueOptions{Priority: int64(i)}); err != nil {
					t.Error(err)
				}
				jobs, err := q.ClaimBatch(fmt.Sprint("worker-", g), 2)
				if err != nil || len(jobs) != 2 {
					t.Error(len(jobs), err)
					continue
				}
				var got string
				if err := jobs[1].UnmarshalPayload(&got); err != nil || got != text {
					t.Error(got, err)
				}
				if n, err := q.AckBatch([]int64{jobs[0].ID, jobs[1].ID}, fmt.Sprint("worker-", g)); n != 2 || err != nil {
					t.Error(n, err)
				}
				if err := db.QueryRow("SELECT ?||?", text, "x").Scan(&got); err != nil || got != text+"x" {
					t.Error(got, err)
				}
			}
		}()
	}
	users.Wait()
	close(stop)
	collecting.Wait()
}
