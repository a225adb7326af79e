// A job and a business write, both or neither; and a job whose effect happens exactly once.
package main

import (
	"errors"
	"fmt"
	"log"

	honker "github.com/russellromney/honker-go"
)

func main() {
	db, err := honker.Open("app.db")
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	setup, err := db.Begin()
	if err != nil {
		log.Fatal(err)
	}
	setup.Exec("CREATE TABLE orders (id INTEGER PRIMARY KEY, total INTEGER, customer_id TEXT UNIQUE)")
	setup.Commit()
	q := db.Queue("emails", honker.QueueOptions{})

	if err := order(db, q); err != nil {
		log.Fatal(err)
	}
	err = order(db, q) // alice has an order already: no second one, and no second job
	stats, _ := q.Stats()
	fmt.Println(errors.Is(err, honker.ErrConstraint), stats.Pending)

	if err := bill(db, q); err != nil {
		log.Fatal(err)
	}
	rows, err := db.Query("SELECT id, total, customer_id FROM orders WHERE total < ?", 10000.5)
	if err != nil {
		log.Fatal(err)
	}
	for _, row := range rows {
		var id, total int64
		var customer *string
		if err := row.Scan(&id, &total, &customer); err != nil {
			log.Fatal(err)
		}
		fmt.Println("order", id, "of", *customer, "is", total)
	}
}

func order(db *honker.Database, q *honker.Queue) error {
	tx, err := db.Begin()
	if err != nil {
		return err
	}
	defer tx.Rollback() // does nothing after Commit
	var id int64
	if err := tx.QueryRow("INSERT INTO orders (total, customer_id) VALUES (?, ?) RETURNING id", 9900, "alice").Scan(&id); err != nil {
		return err
	}
	if _, err := q.EnqueueTx(tx, map[string]any{"order_id": id, "email_type": "confirmation"}, honker.EnqueueOptions{}); err != nil {
		return err
	}
	return tx.Commit()
}

func bill(db *honker.Database, q *honker.Queue) error {
	job, err := q.ClaimOne("worker-1")
	if job == nil {
		return err
	}
	var p struct {
		OrderID int64 `json:"order_id"`
	}
	if err := job.UnmarshalPayload(&p); err != nil {
		return err
	}
	tx, err := db.Begin()
	if err != nil {
		return err
	}
	defer tx.Rollback() // does nothing after Commit
	if _, err := tx.Exec("UPDATE orders SET total = total + 1 WHERE id = ?", p.OrderID); err != nil {
		return err
	}
	if held, err := job.AckTx(tx); err != nil || !held {
		return err // the claim was lost: somebody else does it
	}
	return tx.Commit()
}

// Output:
// true 1
// order 1 of alice is 9901
