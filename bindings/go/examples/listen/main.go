// Notifications are for whoever listens at the time.
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
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	orders, err := db.Listen(ctx, "orders") // from here on nothing is missed
	if err != nil {
		log.Fatal(err)
	}
	listener, err := db.Listener("orders") // the same without a channel
	if err != nil {
		log.Fatal(err)
	}
	defer listener.Close()

	db.Notify("orders", map[string]int{"id": 1})
	db.Notify("weather", "rain")
	tx, _ := db.Begin()
	db.NotifyTx(tx, "orders", map[string]int{"id": 2})
	tx.Commit()

	for range 2 {
		notification := <-orders
		if notification.Err != nil {
			log.Fatal(notification.Err)
		}
		fmt.Println(notification.Channel, string(notification.Payload))
	}
	for notification, err := range listener.All(ctx) {
		if err != nil {
			log.Fatal(err)
		}
		var order struct{ ID int }
		notification.UnmarshalPayload(&order)
		fmt.Println("order", order.ID)
		if order.ID == 2 {
			break
		}
	}
	db.PruneNotifications(nil, honker.Int64(0))
}

// Output:
// orders {"id":1}
// orders {"id":2}
// order 1
// order 2
