"""SQLAlchemy 2 (SQLModel's sessions are the same): a job in the session's transaction."""

import honker
from sqlalchemy import create_engine, event, text
from sqlalchemy.orm import Session

db = honker.open("app.db")
engine = create_engine("sqlite:///app.db")


# The driver is not to begin and commit by itself: it would commit a first savepoint.
@event.listens_for(engine, "connect")
def driver_autocommit(connection, _):
    connection.isolation_level = None


@event.listens_for(engine, "begin")
def begin_immediate(connection):
    connection.exec_driver_sql("BEGIN IMMEDIATE")


with Session(engine) as session, session.begin():
    session.execute(text("CREATE TABLE orders (id INTEGER PRIMARY KEY)"))
    session.execute(text("INSERT INTO orders (id) VALUES (42)"))
    honker.enqueue_on(session, "emails", {"order_id": 42})

print(db.queue("emails").claim_one("worker-1").payload)
engine.dispose()
# => {'order_id': 42}
