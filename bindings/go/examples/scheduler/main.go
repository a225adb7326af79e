// Schedules are in the file. Here the clock is set by hand first; then Run does it.
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
	scheduler := db.Scheduler()
	err = scheduler.Add(honker.ScheduledTask{Name: "nightly", Queue: "backups",
		Schedule: "CRON_TZ=Europe/Berlin 0 3 * * *", Payload: map[string]string{"what": "everything"}})
	if err != nil {
		log.Fatal(err)
	}
	at, err := scheduler.Soonest()
	if err != nil {
		log.Fatal(err)
	}
	fires, err := scheduler.TickAt(at) // Tick() in real life
	if err != nil {
		log.Fatal(err)
	}
	for _, fire := range fires {
		fmt.Println(fire.Name, "-> job", fire.JobID, "in", fire.Queue)
	}
	expression := "@daily"
	scheduler.Update("nightly", honker.ScheduleUpdate{CronExpr: &expression})
	scheduler.Pause("nightly")
	rows, err := scheduler.List()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(rows[0].CronExpr, rows[0].Enabled, rows[0].Payload)

	ctx, stop := context.WithTimeout(context.Background(), 10*time.Second)
	done := make(chan error)
	go func() { done <- scheduler.Run(ctx, "host-7") }()
	pulse := honker.ScheduledTask{Name: "pulse", Queue: "health", Schedule: "@every 1s"}
	if err := scheduler.Add(pulse); err != nil {
		log.Fatal(err)
	}
	for job, err := range db.Queue("health", honker.QueueOptions{}).Jobs(ctx, "worker-1") {
		if err != nil {
			log.Fatal(err)
		}
		job.Ack()
		fmt.Println("pulse")
		stop()
	}
	fmt.Println(<-done)
}

// Output:
// nightly -> job 1 in backups
// @daily false {"what":"everything"}
// pulse
// <nil>
