// Locks have an owner and a time to live; rate limits count in windows.
package main

import (
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
	lock, err := db.TryLock("nightly-backup", "", 60) // the owner is a random one
	if err != nil {
		log.Fatal(err)
	}
	if lock == nil {
		log.Fatal("somebody is at it")
	}
	defer lock.Release()
	fmt.Println("backing up")
	second, err := db.TryLock("nightly-backup", "", 60)
	fmt.Println(second == nil, err)
	if held, err := lock.Heartbeat(60); err != nil || !held {
		log.Fatal("too slow: somebody else has it", err)
	}

	for range 3 {
		allowed, err := db.TryRateLimit("api", 2, 1000000000)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println("allowed:", allowed)
	}
}

// Output:
// backing up
// true <nil>
// allowed: true
// allowed: true
// allowed: false
