package main

import (
	"context"
	"database/sql"
	"fmt"
	"log"
	"os"

	_ "github.com/mattn/go-sqlite3"
	"maragu.dev/goqite"
	"maragu.dev/goqite/jobs"
)

func main() {
	db, err := sql.Open("sqlite3", "app.db?_journal=WAL&_timeout=5000&_fk=true")
	if err != nil {
		log.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	schema, err := os.ReadFile(os.Getenv("PEER_SCHEMA"))
	if err != nil {
		log.Fatal(err)
	}
	if _, err := db.Exec(string(schema)); err != nil {
		log.Fatal(err)
	}
	queue := goqite.New(goqite.NewOpts{DB: db, Name: "jobs"})
	runner := jobs.NewRunner(jobs.NewRunnerOpts{Queue: queue})
	runner.Register("greet", func(_ context.Context, word []byte) error {
		fmt.Println(string(word))
		return nil
	})
	if _, err := jobs.Create(context.Background(), queue, "greet", goqite.Message{Body: []byte("hello")}); err != nil {
		log.Fatal(err)
	}
	runner.Start(context.Background())
}
