"""Enqueueing in the transactions of SQLAlchemy, SQLModel, Alembic and Peewee: each while a worker runs in another
process, and the package has the same file open in this one.
"""

import asyncio
import contextlib

import honker
import pytest

sqlalchemy = pytest.importorskip("sqlalchemy")
from sqlalchemy import create_engine, event, text  # noqa: E402
from sqlalchemy.ext.asyncio import AsyncSession, async_scoped_session, async_sessionmaker, create_async_engine  # noqa: E402
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, scoped_session, sessionmaker  # noqa: E402


class Failure(Exception):
    pass


class Base(DeclarativeBase):
    pass


class Order(Base):
    __tablename__ = "orders"
    id: Mapped[int] = mapped_column(primary_key=True)
    total: Mapped[int]


def begin_immediate(engine):
    """sqlite3's legacy mode commits a first savepoint by itself, and begins only with a write."""

    @event.listens_for(engine, "connect")
    def driver_autocommit(connection, _):
        connection.isolation_level = None
        connection.execute("PRAGMA busy_timeout = 5000")

    @event.listens_for(engine, "begin")
    def begin(connection):
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine


@pytest.fixture
def worker(path, db, program):
    db.queue("emails")
    running = program(
        """
        import sys, honker
        db = honker.open(sys.argv[1])
        print("ready")
        for job in db.queue("emails").claim("w", idle_poll_s=None):
            job.ack()
            print(job.payload)
        """,
        path,
    )
    assert running.line() == "ready"
    return running


@pytest.fixture
def nothing_else(db, worker):
    """What the worker is given last: whatever was to be rolled back would have come before."""
    yield
    db.queue("emails").enqueue("last")
    assert worker.line() == "last"


@pytest.fixture
def engine(path):
    engine = begin_immediate(create_engine(f"sqlite:///{path}"))
    Base.metadata.create_all(engine)
    yield engine
    engine.dispose()


def test_sqlalchemy_connections(engine, worker, nothing_else):
    with contextlib.suppress(Failure), engine.begin() as connection:
        honker.enqueue_on(connection, "emails", "rolled back")
        raise Failure
    with engine.begin() as connection:
        connection.execute(text("INSERT INTO orders (id, total) VALUES (1, 5)"))
        honker.enqueue_on(connection, "emails", "committed")
        with connection.begin_nested() as savepoint:
            honker.enqueue_on(connection, "emails", "rolled back to a savepoint")
            savepoint.rollback()
        with connection.begin_nested():
            honker.enqueue_on(connection, "emails", "after a savepoint")
    assert [worker.line(), worker.line()] == ["committed", "after a savepoint"]


def test_sqlalchemy_sessions(engine, worker, nothing_else, db):
    with Session(engine) as session:
        with session.begin():
            session.add(Order(id=1, total=5))
            honker.enqueue_on(session, "emails", "committed", metadata={"a": "b"})
        # A savepoint first, and rolled back outside of it: nothing of it may stay.
        with contextlib.suppress(Failure), session.begin():
            with session.begin_nested():
                honker.enqueue_on(session, "emails", "in a savepoint")
            raise Failure
        with session.begin():
            with contextlib.suppress(Failure), session.begin_nested():
                session.add(Order(id=2, total=5))
                honker.enqueue_on(session, "emails", "rolled back")
                raise Failure
            honker.enqueue_on(session, "emails", "the second")
    assert [worker.line(), worker.line()] == ["committed", "the second"]
    assert db.query("SELECT id FROM orders") == [{"id": 1}]


def test_scoped_sessions(engine, worker, nothing_else):
    """What Flask-SQLAlchemy has as db.session."""
    session = scoped_session(sessionmaker(engine))
    honker.enqueue_on(session, "emails", "rolled back")
    session.rollback()
    honker.enqueue_on(session, "emails", "committed", metadata={"a": "b"})
    session.commit()
    session.remove()
    assert worker.line() == "committed"


def test_async_scoped_sessions(path, engine, worker, nothing_else):
    async def main():
        engine = create_async_engine(f"sqlite+aiosqlite:///{path}")
        session = async_scoped_session(async_sessionmaker(engine), scopefunc=asyncio.current_task)
        await honker.aenqueue_on(session, "emails", "rolled back")
        await session.rollback()
        await honker.aenqueue_on(session, "emails", "committed")
        await session.commit()
        await session.remove()
        await engine.dispose()

    asyncio.run(main())
    assert worker.line() == "committed"


def test_acking_in_a_session(engine, db, queue):
    queue.enqueue(1)
    job = queue.claim_one("w")
    with Session(engine) as session, session.begin():
        session.add(Order(id=7, total=5))
        assert honker.ack_on(session, job)
    assert queue.get_job(job.id) is None and db.query("SELECT id FROM orders") == [{"id": 7}]


def test_sqlalchemy_and_aiosqlite(path, engine, worker, nothing_else, db):
    async def main():
        engine = create_async_engine(f"sqlite+aiosqlite:///{path}")
        begin_immediate(engine.sync_engine)
        sessions = async_sessionmaker(engine)
        session: AsyncSession
        async with sessions() as session:
            async with session.begin():
                session.add(Order(id=1, total=5))
                await honker.aenqueue_on(session, "emails", "committed")
            with contextlib.suppress(Failure):
                async with session.begin():
                    async with session.begin_nested():
                        await honker.aenqueue_on(session, "emails", "rolled back")
                    raise Failure
            async with session.begin():
                with contextlib.suppress(Failure):
                    async with session.begin_nested():
                        await honker.aenqueue_on(session, "emails", "rolled back to a savepoint")
                        raise Failure
        async with engine.begin() as connection:
            await honker.aenqueue_on(connection, "emails", "by a connection")
        await engine.dispose()

    asyncio.run(main())
    assert [worker.line(), worker.line()] == ["committed", "by a connection"]
    assert db.query("SELECT id FROM orders") == [{"id": 1}]


def test_aiosqlite(path, worker, nothing_else, queue):
    aiosqlite = pytest.importorskip("aiosqlite")

    async def main():
        async with aiosqlite.connect(path) as connection:
            await honker.aenqueue_on(connection, "emails", "rolled back")
            await connection.rollback()
            await honker.aenqueue_on(connection, "emails", "committed")
            await connection.commit()
            queue.enqueue(1, delay=-5, unique_key="k", priority=-1)

    asyncio.run(main())
    assert {worker.line(), worker.line()} == {"committed", "1"}


def test_sqlmodel(path, worker, nothing_else):
    sqlmodel = pytest.importorskip("sqlmodel")

    class Invoice(sqlmodel.SQLModel, table=True):
        id: int | None = sqlmodel.Field(default=None, primary_key=True)

    engine = begin_immediate(sqlmodel.create_engine(f"sqlite:///{path}"))
    sqlmodel.SQLModel.metadata.create_all(engine)
    with sqlmodel.Session(engine) as session:
        session.add(Invoice())
        honker.enqueue_on(session, "emails", "rolled back")
        session.rollback()
        invoice = Invoice()
        session.add(invoice)
        session.flush()
        honker.enqueue_on(session, "emails", {"invoice": invoice.id})
        session.commit()
    engine.dispose()
    assert worker.line() == "{'invoice': 1}"


def test_alembic(tmp_path):
    """A migration that makes honker's tables, and one that enqueues; the file was never opened with honker."""
    alembic_config = pytest.importorskip("alembic.config")
    from alembic import command

    path = tmp_path / "migrated.db"
    config = alembic_config.Config()
    config.set_main_option("script_location", str(tmp_path / "migrations"))
    config.set_main_option("sqlalchemy.url", f"sqlite:///{path}")
    (tmp_path / "migrations" / "versions").mkdir(parents=True)
    (tmp_path / "migrations" / "env.py").write_text(
        "from alembic import context\n"
        "from sqlalchemy import create_engine\n"
        "engine = create_engine(context.config.get_main_option('sqlalchemy.url'))\n"
        "with engine.connect() as connection:\n"
        "    context.configure(connection=connection, transaction_per_migration=True)\n"
        "    with context.begin_transaction():\n"
        "        context.run_migrations()\n"
        "engine.dispose()\n"
    )
    (tmp_path / "migrations" / "versions" / "1_tables.py").write_text(
        "import honker\n"
        "from alembic import op\n"
        "revision, down_revision = '1', None\n"
        "def upgrade():\n"
        "    op.get_bind().connection.driver_connection.executescript(honker.schema_sql())\n"
    )
    (tmp_path / "migrations" / "versions" / "2_jobs.py").write_text(
        "import honker\n"
        "from alembic import op\n"
        "revision, down_revision = '2', '1'\n"
        "def upgrade():\n"
        "    honker.enqueue_on(op.get_bind(), 'emails', 'from a migration')\n"
    )
    command.upgrade(config, "head")
    with honker.open(path) as db:
        assert db.queue("emails").claim_one("w").payload == "from a migration"
    # And on: honker's tables are none of the application's.
    command.current(config, check_heads=True)


def test_peewee(path, worker, nothing_else, db):
    peewee = pytest.importorskip("peewee")
    orders = peewee.SqliteDatabase(str(path), pragmas={"busy_timeout": 5000})

    class PeeweeOrder(peewee.Model):
        class Meta:
            database = orders

    with orders.connection_context(), pytest.raises(honker.MisuseError, match="metadata"):
        honker.enqueue_on(orders, "emails", "without a transaction", metadata={"a": "b"})
    with orders:
        orders.create_tables([PeeweeOrder])
        with contextlib.suppress(Failure), orders.atomic("IMMEDIATE"):
            honker.enqueue_on(orders, "emails", "rolled back")
            raise Failure
        with orders.atomic("IMMEDIATE") as transaction:
            PeeweeOrder.create()
            id = honker.enqueue_on(orders, "emails", "committed")
            with orders.savepoint() as savepoint:
                honker.enqueue_on(orders, "emails", "rolled back to a savepoint")
                savepoint.rollback()
            assert transaction and id
    assert worker.line() == "committed"
