import sqlite3

db = sqlite3.connect("app.db", isolation_level=None)
db.execute("PRAGMA journal_mode = WAL")
db.execute("CREATE TABLE jobs (id INTEGER PRIMARY KEY, payload TEXT)")
db.execute("INSERT INTO jobs (payload) VALUES ('hello')")
for (payload,) in db.execute("DELETE FROM jobs WHERE id = (SELECT min(id) FROM jobs) RETURNING payload").fetchall():
    print(payload, flush=True)
