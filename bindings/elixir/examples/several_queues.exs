# Jobs for several queues in one commit, each with options of its own.

{:ok, db} = Honker.open("app.db")

{:ok, [enqueued: _, enqueued: report]} =
  Honker.Queue.enqueue_all(db, [
    {"emails", %{to: "alice"}},
    {"reports", %{month: 3}, delay: 3600, max_attempts: 10, metadata: %{tenant: "acme"}}
  ])

{:ok, job} = Honker.Queue.get_job(db, report)
IO.puts("#{job["queue"]} for #{job["metadata"]["tenant"]}: #{job["max_attempts"]} attempts")

#=> reports for acme: 10 attempts
