"""Procrastinate on Postgres, with its worker."""

import asyncio
import sys

import peer
import procrastinate
import psycopg

# The producer is synchronous, the worker runs in an event loop.
is_worker = "produce.py" not in sys.argv[0]
connector = procrastinate.PsycopgConnector if is_worker else procrastinate.SyncPsycopgConnector
app = procrastinate.App(connector=connector(conninfo=peer.URL))
application = psycopg.connect(peer.URL, autocommit=True)


@app.task(name="job")
def job(kind, n):
    peer.handle(kind, n, append)


def append(n):
    application.execute("INSERT INTO appended (n) VALUES (%s)", (n,))


if peer.SHORTEST:
    # The recipe of its documentation, more often.
    @app.periodic(cron="* * * * * *")
    @app.task(queueing_lock="retry_stalled_jobs", pass_context=True)
    async def retry_stalled_jobs(context, timestamp):
        for stalled in await app.job_manager.get_stalled_jobs(seconds_since_heartbeat=2):
            await app.job_manager.retry_job(stalled)


class Producer:
    def __init__(self):
        app.open()
        if not app.check_connection():
            app.schema_manager.apply_schema()

    def enqueue(self, kind, n):
        job.defer(kind=kind, n=n)

    def enqueue_many(self, jobs):
        job.batch_defer(*({"kind": kind, "n": n} for kind, n in jobs))

    def enqueue_later(self, jobs):
        job.configure(schedule_in={"days": 1}).batch_defer(*({"kind": kind, "n": n} for kind, n in jobs))


def work():
    options = {"update_heartbeat_interval": 1, "stalled_worker_timeout": 2} if peer.SHORTEST else {}

    async def run():
        async with app.open_async():
            await app.run_worker_async(concurrency=peer.CONCURRENCY, **options)

    asyncio.run(run())
