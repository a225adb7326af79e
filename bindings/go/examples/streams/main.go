// A stream keeps its events; consumers read them at their own pace.
package main

import (
	"context"
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
	orders := db.Stream("orders")
	for i, customer := range []string{"alice", "bob", "alice"} {
		if _, err := orders.PublishWithKey(customer, map[string]int{"id": i}); err != nil {
			log.Fatal(err)
		}
	}
	if err := count(db, orders); err != nil {
		log.Fatal(err)
	}
	if err := subscribe(orders); err != nil {
		log.Fatal(err)
	}
	if err := channel(orders); err != nil {
		log.Fatal(err)
	}
}

// count has the effect of each event exactly once: the offset is saved with it.
func count(db *honker.Database, orders *honker.Stream) error {
	events, err := orders.ReadFromConsumer("totals", 1000)
	if err != nil || len(events) == 0 {
		return err
	}
	tx, err := db.Begin()
	if err != nil {
		return err
	}
	defer tx.Rollback()
	if _, err := tx.Exec("CREATE TABLE IF NOT EXISTS totals (customer TEXT PRIMARY KEY, orders INTEGER)"); err != nil {
		return err
	}
	for _, event := range events {
		_, err := tx.Exec("INSERT INTO totals VALUES (?, 1) ON CONFLICT DO UPDATE SET orders = orders + 1", event.Key)
		if err != nil {
			return err
		}
	}
	if _, err := orders.SaveOffsetTx(tx, "totals", events[len(events)-1].Offset); err != nil {
		return err
	}
	var n int
	if err := tx.QueryRow("SELECT orders FROM totals WHERE customer = ?", "alice").Scan(&n); err != nil {
		return err
	}
	fmt.Println("alice:", n)
	return tx.Commit()
}

// subscribe sees an event again that it did not finish.
func subscribe(orders *honker.Stream) error {
	consumer := "mailer"
	for turn := range 2 {
		subscription, err := orders.Subscription(honker.SubscribeOptions{Consumer: &consumer})
		if err != nil {
			return err
		}
		for event, err := range subscription.All(context.Background()) {
			if err != nil {
				return err
			}
			fmt.Println("mailer:", event.Offset, string(event.Payload))
			if turn == 0 && event.Offset == 2 {
				break // in the middle of the second
			}
			if event.Offset == 3 {
				subscription.Ack()
				break
			}
		}
		subscription.Close() // saves
	}
	offset, err := orders.GetOffset(consumer)
	fmt.Println("mailer has finished", offset)
	return err
}

// channel is the same for those who would rather have a channel.
func channel(orders *honker.Stream) error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	events, err := orders.Subscribe(ctx, "dashboard")
	if err != nil {
		return err
	}
	for event := range events {
		if event.Err != nil {
			return event.Err
		}
		fmt.Println("dashboard:", event.Offset, *event.Key)
		if event.Offset == 3 {
			cancel()
		}
	}
	return nil
}

// Output:
// alice: 2
// mailer: 1 {"id":0}
// mailer: 2 {"id":1}
// mailer: 2 {"id":1}
// mailer: 3 {"id":2}
// mailer has finished 3
// dashboard: 1 alice
// dashboard: 2 bob
// dashboard: 3 alice
