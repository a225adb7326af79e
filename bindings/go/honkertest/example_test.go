package honkertest_test

import (
	"context"
	"testing"
	"time"

	honker "github.com/russellromney/honker-go"
	"github.com/russellromney/honker-go/honkertest"
)

func remind(_ context.Context, _ *honker.Job) error { return nil }

func signUp(db *honker.Database, name string) error {
	_, err := db.Queue("reminders", honker.QueueOptions{}).Enqueue(map[string]any{"to": name}, honker.EnqueueOptions{Delay: honker.Int64(86_400)})
	return err
}

func TestReminder(t *testing.T) {
	db := honkertest.Open(t)
	if err := signUp(db, "alice"); err != nil {
		t.Fatal(err)
	}
	honkertest.AssertEnqueued(t, db, "reminders", map[string]any{"to": "alice"})
	honkertest.Advance(t, db, 24*time.Hour)
	if n := honkertest.RunDue(t, db, remind, "reminders"); n != 1 {
		t.Errorf("%d reminders", n)
	}
}
