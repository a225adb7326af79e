// An outbox delivers what was committed with a business write, again and again if need be.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"time"

	honker "github.com/russellromney/honker-go"
)

func main() {
	db, err := honker.Open("app.db")
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	ctx, stop := context.WithTimeout(context.Background(), 10*time.Second)
	defer stop()

	calls := 0
	post := func(ctx context.Context, payload json.RawMessage) error {
		calls++
		if calls == 1 {
			fmt.Println("no answer")
			return errors.New("no answer")
		}
		fmt.Println("delivered", string(payload))
		stop()
		return nil
	}
	options := honker.OutboxOptions{BaseBackoffS: 1} // 1, 2, 4, ... seconds; 5 is the default
	webhooks, err := db.Outbox("webhooks", post, options)
	if err != nil {
		log.Fatal(err)
	}
	tx, err := db.Begin()
	if err != nil {
		log.Fatal(err)
	}
	tx.Exec("CREATE TABLE orders (id INTEGER PRIMARY KEY)")
	tx.Exec("INSERT INTO orders (id) VALUES (?)", 42)
	webhooks.EnqueueTx(tx, map[string]int{"order_id": 42}, honker.EnqueueOptions{})
	if err := tx.Commit(); err != nil {
		log.Fatal(err)
	}
	if err := webhooks.RunWorker(ctx, "worker-1"); err != nil {
		log.Fatal(err)
	}
}

// Output:
// no answer
// delivered {"order_id":42}
