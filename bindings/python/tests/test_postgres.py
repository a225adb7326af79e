"""On Postgres: the calls of the package with a URL in place of a file, and enqueueing on connections of drivers."""

import asyncio
import contextlib
import os
import re
import subprocess
import sys
import threading
import time

import honker
import honker.testing
import pytest
from conftest import PACKAGE, SOON_S, until

psycopg = pytest.importorskip("psycopg")
psycopg2 = pytest.importorskip("psycopg2")
sqlalchemy = pytest.importorskip("sqlalchemy")
from psycopg2.extras import RealDictCursor  # noqa: E402
from sqlalchemy.ext.asyncio import (  # noqa: E402
    AsyncSession,
    async_scoped_session,
    async_sessionmaker,
    create_async_engine,
)


class Failure(Exception):
    pass


@pytest.fixture
def db(server):
    with honker.open(f"{server}&honker_migrate=on") as database:
        with database.transaction() as tx:
            tx.execute("CREATE TABLE orders (id int PRIMARY KEY, note text)")
        yield database


@pytest.fixture
def queue(db):
    return db.queue("emails")


@pytest.fixture
def worker(server, queue, program):
    """Of another process; it says what it was given."""
    running = program(
        """
        import sys, honker
        db = honker.open(sys.argv[1])
        print("ready")
        for job in db.queue("emails").claim("w"):
            job.ack()
            print(job.payload, flush=True)
        """,
        server,
    )
    assert running.line() == "ready"
    yield running
    # What was rolled back would have come before.
    queue.enqueue("last", priority=-1)
    assert running.line() == "last"


def orders(db):
    return [row["id"] for row in db.query("SELECT id FROM orders ORDER BY id")]


# The package's own calls.


def test_a_database_without_the_schema_is_not_opened(server):
    with pytest.raises(honker.CannotOpenError, match="honker migrate"):
        honker.open(server)


def test_jobs(db, queue):
    id = queue.enqueue({"to": "alice"}, priority=7, metadata={"tenant": "acme"})
    assert queue.get_job(id)["payload"] == {"to": "alice"}
    job = queue.claim_one("w")
    assert (job.id, job.payload, job.metadata) == (id, {"to": "alice"}, {"tenant": "acme"})
    assert job.ack() and not job.ack()
    first, second = db.enqueue_many([{"queue": "a", "payload": 1}, {"queue": "b", "payload": 2, "delay": 60}])
    assert second.id == first.id + 1 and queue.stats() == {**queue.stats(), "pending": 0}
    assert {row["id"] for row in db.jobs(state=["due", "delayed"])} == {first.id, second.id}


def test_transactions(db, queue):
    with db.transaction() as tx:
        tx.execute("INSERT INTO orders (id, note) VALUES (?, ?)", [1, "it's ? here"])
        with pytest.raises(honker.InvalidError):
            queue.enqueue(1, tx=tx, delay=2**63 - 2)  # its own savepoint: the transaction goes on
        id = queue.enqueue({"order_id": 1}, tx=tx)
    with contextlib.suppress(Failure), db.transaction() as tx:
        tx.execute("INSERT INTO orders (id) VALUES (?1)", [2])
        queue.enqueue({"order_id": 2}, tx=tx)
        raise Failure
    assert db.query("SELECT id, note FROM orders WHERE note LIKE ? || '%'", ["it"]) == [
        {"id": 1, "note": "it's ? here"}
    ]
    assert [row["id"] for row in db.jobs(queue="emails")] == [id]
    with pytest.raises(honker.ConstraintError), db.transaction() as tx:
        tx.execute("INSERT INTO orders (id) VALUES (1)")


def test_bootstrapping_is_nothing_to_do(db, queue):
    with db.transaction() as tx:
        tx.bootstrap_honker_schema()
        id = queue.enqueue(1, tx=tx)  # the transaction goes on
    assert [row["id"] for row in db.jobs(queue="emails")] == [id]
    with pytest.raises(honker.MisuseError):
        tx.bootstrap_honker_schema()


def test_a_locked_row_is_waited_for(db, server):
    """Not in slices, as on a file: a statement that gives up costs its transaction."""
    with psycopg.connect(server) as conn:
        conn.execute("INSERT INTO orders (id) VALUES (1)")
        beginning = threading.Event()

        def insert():
            with db.transaction() as tx:
                beginning.set()
                tx.execute("INSERT INTO orders (id) VALUES (1)")

        thread = threading.Thread(target=insert)
        thread.start()
        assert beginning.wait(SOON_S)
        sql = "SELECT count(*) FROM pg_locks WHERE NOT granted"
        until(lambda: db.query(sql)[0]["count"] == 1)
        time.sleep(0.1)
        assert db.query(sql)[0]["count"] == 1
        conn.rollback()
    thread.join(SOON_S)
    assert orders(db) == [1]


def test_the_async_forms_leave_the_loop_alone(db, queue, server):
    """An enqueue that waits for a key of somebody's transaction does so in a thread."""
    other = db.queue("emails")

    async def main():
        with psycopg.connect(server) as conn:
            honker.enqueue_on(conn, "emails", 1, unique_key="k")
            waiting = asyncio.create_task(other.aenqueue(2, unique_key="k"))
            while not db.query("SELECT 1 FROM pg_locks WHERE NOT granted"):
                await asyncio.sleep(0.01)
            assert not waiting.done()
            conn.rollback()
            return await waiting

    id = asyncio.run(main())
    assert queue.claim_one("w").id == id


def test_a_worker(db, queue):
    done, stop = [], threading.Event()

    def handle(job):
        done.append(job.payload)
        if job.payload == "again" and job.attempts == 1:
            raise honker.Retryable("not yet", delay_s=0)

    worker = db.worker("emails", handle, concurrency=4)
    thread = threading.Thread(target=lambda: asyncio.run(worker.arun(stop)))
    thread.start()
    queue.enqueue("first")
    until(lambda: done == ["first"])
    db.enqueue_many({"queue": "emails", "payload": payload} for payload in ("again", "third"))
    until(lambda: sorted(done) == ["again", "again", "first", "third"])
    until(lambda: not list(db.jobs(queue="emails")))
    stop.set()
    thread.join(SOON_S)
    assert not thread.is_alive()


def test_a_worker_by_its_url(db, queue, server):
    queue.enqueue("due")
    done = []
    assert honker.Worker(server, "emails", lambda job: done.append(job.payload)).run_due() == 1
    assert done == ["due"]


def test_tasks_batches_and_tests(db, server):
    """What reads honker's tables by itself."""
    q = db.queue("tasks")

    @q.task(name=f"task {id(q)}", retries=1)
    def fail(text):
        raise ValueError(text)

    jobs = honker.testing.Jobs(db)
    with db.batch(on_finished={"queue": "after", "payload": "all"}) as batch:
        result = fail.using(batch=batch, delay=60).enqueue("no")
    assert jobs.assert_enqueued("tasks", {}) and jobs.run_due() == 0
    jobs.advance(60)
    seen = []
    assert jobs.run_due(lambda job: seen.append(job.batch.id), "tasks") == 1 and seen == [batch.id]
    assert jobs.enqueued("after")[0]["payload"] == "all"
    result = fail("again")
    with pytest.raises(ValueError, match="again"):
        jobs.run_due()
    with pytest.raises(honker.TaskFailed, match="again"):
        result.get(timeout=SOON_S)


def test_streams_notifications_results_locks_and_schedules(db, queue):
    stream = db.stream("orders")

    async def main():
        listener = db.listen("news")
        subscription = stream.subscribe(consumer="c")
        result = asyncio.create_task(queue.wait_result(7, timeout=SOON_S))
        await asyncio.sleep(0)
        with db.transaction() as tx:
            tx.notify("news", {"id": 42})
            stream.publish({"n": 1}, key="k", tx=tx)
        assert (await anext(listener)).payload == {"id": 42}
        event = await anext(subscription)
        assert (event.key, event.payload) == ("k", {"n": 1})
        queue.save_result(7, "value")
        assert await result == "value"

    asyncio.run(main())
    with db.lock("backup", ttl=60), pytest.raises(honker.LockHeld), db.lock("backup", ttl=60):
        pass
    assert db.try_rate_limit("api", 1, 60) and not db.try_rate_limit("api", 1, 60)
    scheduler = honker.Scheduler(db)
    scheduler.add(name="poll", queue="emails", schedule=honker.every_s(60), payload="due")
    at = db.query("SELECT next_fire_at FROM honker._honker_scheduler_tasks")[0]["next_fire_at"]
    assert [fire.name for fire in scheduler.tick(at)] == ["poll"]
    assert queue.claim_one("w").payload == "due"


def test_closing_ends_what_waits(server, db):
    other = honker.open(server)
    ended = []

    def wait():
        try:
            next(other.queue("emails").claim("w"))
        except honker.ClosedError as error:
            ended.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    until(lambda: other.query("SELECT count(*) FROM honker._honker_listeners")[0]["count"] >= 1)
    other.close()
    thread.join(SOON_S)
    assert not thread.is_alive() and len(ended) == 1


def test_a_server_that_is_not_there(server, tmp_path):
    url = f"postgresql://me:secret@nowhere/app?host={tmp_path}&password=secret"
    with pytest.raises(honker.ConnectionLostError) as raised:
        honker.open(url)
    error = raised.value
    assert (error.status, error.name, error.transient) == (-33, "HONKER_CONNECTION", True)
    assert "secret" not in str(error)
    assert "secret" not in repr(honker.Worker(url, "emails", print))


def test_texts_have_no_password(server, db):
    place = server.partition("://")[2].partition("/")[2]
    with honker.open(f"postgresql://app:secret@/{place}") as database:
        shown = [repr(one) for one in (database, database.queue("q"), database.stream("s"), database.transaction())]
        assert not any("secret" in text for text in shown), shown
        assert "postgresql://app@/python_" in shown[0]


# The user's own connections.


def test_psycopg(db, server, worker):
    with psycopg.connect(server, row_factory=psycopg.rows.dict_row) as conn:
        with contextlib.suppress(Failure), conn.transaction():
            honker.enqueue_on(conn, "emails", "rolled back")
            raise Failure
        with conn.transaction():
            conn.execute("INSERT INTO orders (id) VALUES (1)")
            id = honker.enqueue_on(conn, "emails", "committed", metadata={"a": "b"}, unique_key="k")
            assert honker.enqueue_on(conn.cursor(), "emails", "another", unique_key="k") == id
            with contextlib.suppress(Failure), conn.transaction():  # a savepoint
                honker.enqueue_on(conn, "emails", "rolled back to a savepoint")
                raise Failure
    with psycopg.connect(server, autocommit=True, cursor_factory=psycopg.RawCursor) as conn:
        honker.enqueue_on(conn, "emails", "by itself", priority=-1)
    assert [worker.line(), worker.line()] == ["committed", "by itself"]
    assert orders(db) == [1]


def test_psycopg_with_asyncio(db, server, worker):
    async def main():
        async with await psycopg.AsyncConnection.connect(server) as conn:
            await honker.aenqueue_on(conn, "emails", "rolled back")
            await conn.rollback()
            await conn.execute("INSERT INTO orders (id) VALUES (1)")
            await honker.aenqueue_on(conn, "emails", "committed")

    asyncio.run(main())
    assert worker.line() == "committed" and orders(db) == [1]


def test_psycopg2(db, server, worker):
    with contextlib.closing(psycopg2.connect(server, cursor_factory=RealDictCursor)) as conn:
        honker.enqueue_on(conn, "emails", "rolled back")
        conn.rollback()
        with conn, conn.cursor() as cursor:
            cursor.execute("INSERT INTO orders (id) VALUES (1)")
            honker.enqueue_on(conn, "emails", {"to": "é%s"})
    assert worker.line() == "{'to': 'é%s'}" and orders(db) == [1]


def test_asyncpg(db, server, worker):
    asyncpg = pytest.importorskip("asyncpg")

    async def main():
        async with asyncpg.create_pool(server, min_size=1, max_size=1) as pool, pool.acquire() as conn:
            with contextlib.suppress(Failure):
                async with conn.transaction():
                    await honker.aenqueue_on(conn, "emails", "rolled back")
                    raise Failure
            async with conn.transaction():
                await conn.execute("INSERT INTO orders (id) VALUES (1)")
                await honker.aenqueue_on(conn, "emails", "committed", delay=0, expires=3600, max_attempts=2)
            with pytest.raises(honker.InvalidError):
                await honker.aenqueue_on(conn, "emails", 1, delay=2**63 - 2)

    asyncio.run(main())
    assert worker.line() == "committed" and orders(db) == [1]


@pytest.mark.parametrize("driver", ["psycopg", "psycopg2"])
def test_sqlalchemy(db, server, worker, driver):
    module = {"psycopg": psycopg, "psycopg2": psycopg2}[driver]
    engine = sqlalchemy.create_engine(f"postgresql+{driver}://", creator=lambda: module.connect(server))
    with engine.begin() as connection:
        connection.execute(sqlalchemy.text("INSERT INTO orders (id) VALUES (1)"))
        honker.enqueue_on(connection, "emails", "committed")
        with connection.begin_nested() as savepoint:
            honker.enqueue_on(connection, "emails", "rolled back to a savepoint")
            savepoint.rollback()
    with sqlalchemy.orm.Session(engine) as session:
        honker.enqueue_on(session, "emails", "rolled back")
        session.rollback()
        session.execute(sqlalchemy.text("INSERT INTO orders (id) VALUES (2)"))
        honker.enqueue_on(session, "emails", "by a session", metadata={"a": "b"})
        session.commit()
        with pytest.raises(honker.InvalidError, match="delay"):
            honker.enqueue_on(session, "emails", 1, delay=2**63 - 2)
    engine.dispose()
    assert [worker.line(), worker.line()] == ["committed", "by a session"] and orders(db) == [1, 2]


def test_a_scoped_session_of_sqlalchemy(db, server, worker):
    """What Flask-SQLAlchemy has as db.session."""
    engine = sqlalchemy.create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(server))
    session = sqlalchemy.orm.scoped_session(sqlalchemy.orm.sessionmaker(engine))
    honker.enqueue_on(session, "emails", "rolled back")
    session.rollback()
    session.execute(sqlalchemy.text("INSERT INTO orders (id) VALUES (1)"))
    honker.enqueue_on(session, "emails", "committed", metadata={"a": "b"})
    session.commit()
    session.remove()
    engine.dispose()
    assert worker.line() == "committed" and orders(db) == [1]


def test_an_async_scoped_session_of_sqlalchemy(db, server, worker):
    async def main():
        engine = create_async_engine(
            "postgresql+psycopg://", async_creator=lambda: psycopg.AsyncConnection.connect(server)
        )
        session = async_scoped_session(async_sessionmaker(engine), scopefunc=asyncio.current_task)
        await honker.aenqueue_on(session, "emails", "rolled back")
        await session.rollback()
        await session.execute(sqlalchemy.text("INSERT INTO orders (id) VALUES (1)"))
        await honker.aenqueue_on(session, "emails", "committed")
        await session.commit()
        await session.remove()
        await engine.dispose()

    asyncio.run(main())
    assert worker.line() == "committed" and orders(db) == [1]


@pytest.mark.parametrize("driver", ["psycopg", "asyncpg"])
def test_sqlalchemy_with_asyncio(db, server, worker, driver):
    module = pytest.importorskip(driver)

    async def connect():
        return await (module.AsyncConnection.connect if driver == "psycopg" else module.connect)(server)

    async def main():
        engine = create_async_engine(f"postgresql+{driver}://", async_creator=connect)
        async with AsyncSession(engine) as session:
            await honker.aenqueue_on(session, "emails", "rolled back")
            await session.rollback()
            await session.execute(sqlalchemy.text("INSERT INTO orders (id) VALUES (1)"))
            await honker.aenqueue_on(session, "emails", "committed")
            await session.commit()
        async with engine.begin() as connection:
            await honker.aenqueue_on(connection, "emails", "by a connection", concurrency_key="c")
            with pytest.raises(honker.InvalidError):
                await honker.aenqueue_on(connection, "emails", 1, delay=2**63 - 2)
            await connection.rollback()
        async with engine.begin() as connection:
            await honker.aenqueue_on(connection, "emails", "by a connection", concurrency_key="c")
        await engine.dispose()

    asyncio.run(main())
    assert [worker.line(), worker.line()] == ["committed", "by a connection"] and orders(db) == [1]


def test_peewee(db, server, worker):
    peewee = pytest.importorskip("peewee")
    with contextlib.closing(peewee.PostgresqlDatabase(server)) as orders_db:
        with contextlib.suppress(Failure), orders_db.atomic():
            honker.enqueue_on(orders_db, "emails", "rolled back")
            raise Failure
        with orders_db.atomic():
            orders_db.execute_sql("INSERT INTO orders (id) VALUES (1)")
            honker.enqueue_on(orders_db, "emails", "committed", unique_key="k")
        proxy = peewee.DatabaseProxy()
        proxy.initialize(orders_db)
        with contextlib.suppress(Failure), proxy.atomic():
            honker.enqueue_on(proxy, "emails", "rolled back")
            raise Failure
        honker.enqueue_on(proxy, "emails", "by a proxy")
    assert [worker.line(), worker.line()] == ["committed", "by a proxy"] and orders(db) == [1]


def test_acking_in_a_transaction_of_ones_own(db, queue, server):
    queue.enqueue(1)
    queue.enqueue(2)
    first, second = queue.claim_one("w"), queue.claim_one("w")
    with psycopg.connect(server) as conn:
        assert honker.ack_on(conn, first)
        conn.rollback()
        assert queue.get_job(first.id) is not None
        assert honker.ack_on(conn, first)
        assert not honker.ack_on(conn, first)
        conn.execute("INSERT INTO orders (id) VALUES (1)")
    assert queue.get_job(first.id) is None and orders(db) == [1]

    # The same worker has claimed it again.
    assert second.retry(0) and queue.claim_one("w").id == second.id
    with psycopg.connect(server) as conn:
        assert not honker.ack_on(conn, second)

    async def main():
        async with await psycopg.AsyncConnection.connect(server) as conn:
            return await honker.aack_on(conn, queue.claim_one("w"))

    queue.enqueue(3)
    assert asyncio.run(main())


def test_numbers_are_those_of_the_package(db, queue, server):
    numbers = {"priority": 2.9, "max_attempts": 4.9, "expires": 60.9, "delay": 1.9}
    columns = ("priority", "max_attempts")
    own = queue.get_job(queue.enqueue(1, **numbers))
    with psycopg.connect(server) as conn:
        ids = [honker.enqueue_on(conn, "emails", 1, **numbers, **more) for more in ({}, {"metadata": {"a": "b"}})]
        for option in ("priority", "max_attempts", "delay", "expires", "max_run_s", "unique_for_s"):
            with pytest.raises(TypeError, match=option):
                honker.enqueue_on(conn, "emails", 1, **{option: "5"})
            with pytest.raises(honker.InvalidError, match=option):
                honker.enqueue_on(conn, "emails", 1, **{option: float("nan")})
    for job in map(queue.get_job, ids):
        assert [job[name] for name in columns] == [own[name] for name in columns] == [2, 4]
        assert job["expires_at"] - job["run_at"] == own["expires_at"] - own["run_at"] == 59
    with db.batch(on_finished={"queue": "after", "payload": 1, **numbers}):
        pass
    assert [row["priority"] for row in db.jobs(queue="after")] == [2]


def test_errors_of_honker_are_typed_and_others_the_drivers(db, server):
    with psycopg.connect(server) as conn:
        with pytest.raises(honker.InvalidError, match="delay"):
            honker.enqueue_on(conn, "emails", 1, delay=2**63 - 2)
        with pytest.raises(psycopg.errors.InFailedSqlTransaction):
            honker.enqueue_on(conn, "emails", 1)
        conn.rollback()
        conn.execute("SELECT honker._move_begin('6d', 'postgres://db.example/app')")
        with pytest.raises(honker.MovedError, match="db.example/app"):
            honker.enqueue_on(conn, "emails", 1, unique_key="k")
        conn.rollback()
        with pytest.raises(TypeError, match="unexpected option"):
            honker.enqueue_on(conn, "emails", 1, dely=1)
        conn.execute("DROP SCHEMA honker CASCADE")
        with pytest.raises(psycopg.errors.InvalidSchemaName):
            honker.enqueue_on(conn, "emails", 1)


def test_an_error_is_not_taken_for_the_one_that_is_handled(db, server):
    """That is the context of what is raised meanwhile."""
    with psycopg.connect(server) as conn:
        try:
            honker.enqueue_on(conn, "emails", 1, delay=2**63 - 2)
        except honker.InvalidError:
            with pytest.raises(psycopg.errors.InFailedSqlTransaction):
                honker.enqueue_on(conn, "emails", 1)
            conn.rollback()
            conn.execute("SELECT honker._move_begin('6d', 'postgres://db.example/app')")
            with pytest.raises(honker.MovedError):
                honker.enqueue_on(conn, "emails", 1)
            conn.close()
            with pytest.raises(psycopg.OperationalError):  # without an SQLSTATE
                honker.enqueue_on(conn, "emails", 1)


def test_errors_by_peewee(db, server):
    peewee = pytest.importorskip("peewee")
    with contextlib.closing(peewee.PostgresqlDatabase(server)) as conn:
        try:
            honker.enqueue_on(conn, "emails", 1, delay=2**63 - 2)
        except honker.InvalidError:
            with pytest.raises(honker.InvalidError, match="metadata"):
                honker.enqueue_on(conn, "emails", 1, metadata={"a": 1})
            conn.execute_sql("DROP SCHEMA honker CASCADE")
            with pytest.raises(peewee.ProgrammingError):
                honker.enqueue_on(conn, "emails", 1)


def test_another_server_is_none(db):
    with pytest.raises(TypeError, match="no connection that honker knows"):
        honker.enqueue_on(object(), "emails", 1)


def test_what_a_worker_sees_of_a_poolers_url(server, db):
    """honker_listen stays in the URL, and is shown to nobody."""
    from urllib.parse import quote

    with honker.open(f"{server}&honker_listen={quote(server, safe='')}") as database:
        database.queue("emails").enqueue(1)
        assert next(database.queue("emails").claim("w")).payload == 1
        assert "honker_listen" not in repr(database)


def test_the_example(db, server, tmp_path):
    with db.transaction() as tx:
        tx.execute("DROP TABLE orders")
    path = PACKAGE / "examples" / "postgres.py"
    done = subprocess.run(
        [sys.executable, "-X", "dev", path],
        cwd=tmp_path,
        env={**os.environ, "DATABASE_URL": server, "PYTHONPATH": str(PACKAGE)},
        capture_output=True,
        text=True,
        timeout=2 * SOON_S,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == re.findall(r"^# => (.*)$", path.read_text(), re.MULTILINE)
