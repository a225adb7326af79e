const assert = require("node:assert/strict");
const fs = require("node:fs");
const { test } = require("node:test");
const { open, openAsync, work } = require("../dist/index.js");
const { child, fresh, freshPath, soon, until } = require("./helper.js");

test("a transaction is committed or rolled back, and is over then", () => {
  const db = fresh();
  const q = db.queue("mail");
  const tx = db.transaction();
  assert.equal(tx.execute("CREATE TABLE orders (id INTEGER, total INTEGER)"), 0);
  assert.equal(tx.execute("INSERT INTO orders VALUES (?, ?)", [1, 10]), 1);
  q.enqueueTx(tx, { order: 1 });
  assert.deepEqual(tx.query("SELECT * FROM orders"), [{ id: 1, total: 10 }]);
  assert.deepEqual(db.query("SELECT name FROM sqlite_schema WHERE name = 'orders'"), []);
  tx.commit();
  tx.rollback();
  assert.throws(() => tx.execute("SELECT 1"), { code: "HONKER_MISUSE", message: /transaction already finished/ });
  assert.equal(q.stats().pending, 1);
  assert.throws(
    () =>
      db.withTransaction((inner) => {
        q.enqueue({ order: 2 }, { tx: inner });
        throw new Error("no");
      }),
    /no/,
  );
  assert.equal(q.stats().pending, 1);
  {
    const dropped = db.transaction();
    q.enqueueTx(dropped, 3);
    dropped[Symbol.dispose]();
  }
  assert.equal(q.stats().pending, 1);
});

test("while a transaction is open, plain calls fail at once and asynchronous ones wait for its end", async () => {
  const db = fresh();
  const q = db.queue("mail");
  const tx = db.transaction();
  assert.throws(() => q.enqueue(1), { code: "HONKER_MISUSE", message: /a transaction is open on this thread/ });
  assert.throws(() => db.transaction(), { code: "HONKER_MISUSE" });
  const later = q.enqueueAsync("second");
  assert.equal(await q.enqueueTxAsync(tx, "first"), 1);
  assert.deepEqual(q.getJob(1), null, "reading goes on");
  await tx.commitAsync();
  assert.equal(await soon(later), 2);
  const begun = await db.transactionAsync();
  assert.throws(() => q.enqueue(1), { code: "HONKER_MISUSE" });
  const next = db.transactionAsync();
  begun.rollback();
  await (await soon(next)).rollbackAsync();
  assert.deepEqual(
    q.claimBatch("w", 9).map((job) => job.payload),
    ["first", "second"],
  );
});

test("an asynchronous call behind a transaction that stays open is BUSY after the busy timeout", async () => {
  const db = fresh({ busyTimeoutMs: 50 });
  const tx = db.transaction();
  await assert.rejects(db.queue("q").enqueueAsync(1), (error) => error.code === "HONKER_BUSY" && error.transient);
  tx.rollback();
  assert.equal(await db.queue("q").enqueueAsync(1), 1);
});

test("a transaction that nobody has any more is rolled back", async () => {
  const program = child(
    `require("node:v8").setFlagsFromString("--expose-gc");
     const gc = globalThis.Bun ? () => Bun.gc(true) : require("node:vm").runInNewContext("gc");
     const db = honker.open(path);
     (() => { db.transaction().execute("CREATE TABLE t (a)"); })();
     for (let i = 0; i < 100; i++) {
       gc(); await new Promise((r) => setTimeout(r, 10));
       try { db.queue("q").enqueue(1); console.log("over"); break; } catch (error) { if (error.code !== "HONKER_MISUSE") throw error; }
     }`,
    freshPath(),
  );
  assert.equal(await program.line(), "over");
  assert.equal(await program.exit, 0);
});

test("a finished transaction that is collected does not end the one that is open", async () => {
  const program = child(
    `require("node:v8").setFlagsFromString("--expose-gc");
     const gc = globalThis.Bun ? () => Bun.gc(true) : require("node:vm").runInNewContext("gc");
     const db = honker.open(path);
     await (async () => {
       for (let i = 0; i < 50; i++) {
         await (await db.transactionAsync()).commitAsync();
         db.transaction().rollback();
       }
     })();
     const tx = await db.transactionAsync();
     for (let i = 0; i < 20; i++) { gc(); await new Promise((r) => setTimeout(r, 1)); }
     try { db.transaction(); } catch (error) { console.log(error.code); }
     // It waits behind the transaction, and keeps nothing of that waiting.
     const later = db.queue("q").enqueueAsync(1);
     await tx.executeAsync("CREATE TABLE t (a)");
     await tx.commitAsync();
     console.log(await later);`,
    freshPath(),
  );
  assert.equal(await program.line(), "HONKER_MISUSE");
  assert.equal(await program.line(), "1");
  assert.equal(await program.exit, 0);
});

test("a plain call never waits for a transaction that is begun at the same moment", async () => {
  const db = fresh({ busyTimeoutMs: 2000 });
  const q = db.queue("q");
  let done = 0;
  for (let n = 0; n < 1000; n++) {
    const beginning = db.transactionAsync();
    for (let i = 0; i < (n % 50) * 20; i++);
    try {
      done += q.enqueue(1, { uniqueKey: "k" });
    } catch (error) {
      assert.equal(error.code, "HONKER_MISUSE");
    }
    await (await beginning).rollbackAsync();
  }
  assert.ok(done > 0);
});

test("calls that wait do not stop the event loop, nor libuv's pool", async () => {
  const db = fresh({ busyTimeoutMs: 30_000 });
  const holder = child(
    `const tx = honker.open(path).transaction(); console.log("held"); await hear(); tx.rollback(); process.exit(0);`,
    db.path,
  );
  assert.equal(await holder.line(), "held");
  // More than libuv's pool has threads.
  const waiting = Array.from({ length: 16 }, (_, n) => db.queue("q").enqueueAsync(n));
  let settled = false;
  void Promise.all(waiting).then(() => {
    settled = true;
  });
  let turns = 0;
  for (let i = 0; i < 20; i++) {
    assert.ok(fs.promises.readFile(__filename) instanceof Promise);
    assert.match(await soon(fs.promises.readFile(__filename, "utf8")), /fs.promises/);
    turns++;
  }
  assert.equal(turns, 20);
  assert.equal(settled, false, "the file was held all the time");
  holder.say("go on");
  await soon(Promise.all(waiting));
  assert.equal(await holder.exit, 0);
});

test("a file that somebody else holds is opened off the event loop, by a worker as well", async () => {
  const path = freshPath();
  // To an older file tables are to be added.
  const holder = child(
    `const db = honker.open(path); db.withTransaction((tx) => tx.execute("UPDATE _honker_schema SET version = 1"));
     const tx = db.transaction(); console.log("held"); await hear(); tx.rollback(); process.exit(0);`,
    path,
  );
  assert.equal(await holder.line(), "held");
  await assert.rejects(openAsync(path, { busyTimeoutMs: 1 }), { code: "HONKER_BUSY", transient: true });
  const options = { busyTimeoutMs: 600_000 };
  const opening = openAsync(path, options);
  const stop = new AbortController();
  const seen = [];
  const handler = (job) => seen.push(job.payload);
  const working = work(path, "q", handler, { signals: false, signal: stop.signal, logger: null, open: options });
  let settled = false;
  void Promise.race([opening, working]).then(() => {
    settled = true;
  });
  for (let i = 0; i < 20; i++) await soon(fs.promises.readFile(__filename));
  assert.equal(settled, false, "the file was held all the time");
  holder.say("go on");
  const db = await soon(opening);
  db.queue("q").enqueue("opened");
  await until(() => seen.includes("opened"));
  stop.abort();
  await soon(working);
  await db.closeAsync();
  assert.equal(await holder.exit, 0);
  await assert.rejects(openAsync("/nonexistent/app.db"), { code: "HONKER_CANNOT_OPEN" });
  await assert.rejects(openAsync(5), TypeError);
  await (await openAsync(path, 4, "polling", 5)).closeAsync();
});

test("errors are typed, and what is wrong with the file is said", async () => {
  const db = fresh();
  await assert.rejects(db.queryAsync("SELECT nonsense"), (error) => {
    assert.equal(error.name, "HonkerError");
    assert.equal(error.code, "HONKER_SQL");
    assert.equal(error.sqliteCode, 1);
    assert.match(error.stack, /database.test.js/);
    return true;
  });
  assert.throws(() => open("/nonexistent/app.db"), { code: "HONKER_CANNOT_OPEN" });
  assert.throws(() => open(":memory:"), { code: "HONKER_INVALID" });
  const damaged = freshPath();
  fs.writeFileSync(damaged, "this is no database, but long enough to be looked at".repeat(100));
  assert.throws(() => open(damaged), { code: "HONKER_CORRUPT" });
});

test("closing ends what waits, and every call after it", async () => {
  const db = fresh();
  const q = db.queue("q");
  const jobs = q.claim("w");
  const [next, wake] = [jobs.next(), db.updateEvents().next()];
  wake.catch(() => {});
  await new Promise(setImmediate);
  await db.closeAsync();
  assert.deepEqual(await soon(next), { done: true, value: undefined });
  await assert.rejects(soon(wake), { code: "HONKER_CLOSED_HANDLE", message: "Database is closed" });
  for (const call of [
    () => q.enqueue(1),
    () => db.query("SELECT 1"),
    () => db.transaction(),
    () => db.queue("q"),
    () => db.listen("c"),
  ]) {
    assert.throws(call, { code: "HONKER_CLOSED_HANDLE", message: "Database is closed" });
  }
  await assert.rejects(q.enqueueAsync(1), { code: "HONKER_CLOSED_HANDLE" });
  db.close();
  await db.closeAsync();
});

test("wakes are told, shared by those who wait at the same time", async () => {
  const db = fresh();
  const updates = db.updateEvents();
  const [a, b] = [updates.next(), updates.next()];
  assert.equal(a, b);
  db.queue("q").enqueue(1);
  assert.equal((await soon(a)).done, false);
  const raced = Array.from({ length: 1000 }, () => Promise.race([updates.next(), Promise.resolve("timer")]));
  await Promise.all(raced);
  db.queue("q").enqueue(2);
  await soon(updates.next());
  updates.close();
  await assert.rejects(updates.next(), { code: "HONKER_CLOSED_HANDLE" });
});

test("any number of transactions at once wait for each other", async () => {
  const db = fresh();
  const one = () =>
    db.withTransactionAsync(async (tx) => {
      for (let i = 0; i < 3; i++) await db.queue("q").enqueueAsync(i, { tx });
    });
  for (let round = 0; round < 20; round++) await Promise.all(Array.from({ length: 20 }, one));
  assert.deepEqual(db.query("SELECT count(*) AS n FROM _honker_live"), [{ n: 1200 }]);
});

test("a replaced file is an error, promptly", async () => {
  const db = fresh();
  const [next, wake] = [db.queue("q").claim("w").next(), db.updateEvents().next()];
  next.catch(() => {});
  wake.catch(() => {});
  await new Promise(setImmediate);
  const other = fresh();
  other.close();
  fs.renameSync(other.path, db.path);
  await assert.rejects(soon(wake), { code: "HONKER_WATCHER" });
  await assert.rejects(soon(next), { code: "HONKER_WATCHER" });
});

test("interrupt ends the calls that wait", async () => {
  const db = fresh({ busyTimeoutMs: 600_000 });
  const holder = child(
    `const tx = honker.open(path).transaction(); console.log("held"); await hear(); tx.rollback(); process.exit(0);`,
    db.path,
  );
  assert.equal(await holder.line(), "held");
  const waiting = db.queue("q").enqueueAsync(1);
  let over = false;
  const ended = assert.rejects(waiting, { code: "HONKER_INTERRUPTED" }).finally(() => {
    over = true;
  });
  await until(() => {
    db.interrupt();
    return over;
  });
  await ended;
  holder.say("");
  await holder.exit;
});
