const assert = require("node:assert/strict");
const { test } = require("node:test");
const { Discard, enqueueSql, enqueueWithSql, RawText, Real, Snooze } = require("../dist/index.js");
const { TestDatabase } = require("../dist/testing.js");
const { fresh, until } = require("./helper.js");

test("jobs are handled here and now, and the clock is moved", async () => {
  const helper = new TestDatabase();
  const q = helper.db.queue("mail");
  q.enqueue({ to: "alice", n: 1 }, { delay: 86_400 });
  q.enqueue({ to: "bob" });
  assert.equal(helper.assertEnqueued("mail", { to: "alice" }).payload.n, 1);
  assert.throws(() => helper.assertEnqueued("mail", { to: "carol" }), /no job of mail has/);
  assert.throws(() => helper.refuteEnqueued("mail", { to: "bob" }), /there is job/);
  const seen = [];
  assert.equal(await helper.runDue((job) => seen.push(job.payload.to)), 1);
  helper.advance(86_400);
  assert.equal(await helper.runDue((job) => seen.push(job.payload.to)), 1);
  assert.deepEqual(seen, ["bob", "alice"]);
  q.enqueue("fails");
  await assert.rejects(
    helper.runDue(() => {
      throw new Error("smtp");
    }),
    /smtp/,
  );
  helper.advance(15);
  assert.equal(
    await helper.runDue(() => {
      throw new Snooze(60);
    }),
    1,
  );
  helper.advance(60);
  await helper.runDue(() => {
    throw new Discard("never");
  });
  assert.equal(q.dead().length, 1);
  helper.close();
});

test("a payload that is not what the handler wants is dead, with the reason", async () => {
  const db = fresh();
  const q = db.queue("mail");
  q.enqueue({ to: "alice" });
  q.enqueue({ from: "bob" });
  const seen = [];
  const parse = (payload) => {
    if (typeof payload.to !== "string") throw new Error("to is missing");
    return { address: payload.to };
  };
  const worker = db.worker("mail", (job) => seen.push(job.payload.address), { parse, logger: null });
  const running = worker.run({ signals: false });
  await until(() => seen.length === 1 && q.stats().dead === 1);
  await worker.stop();
  await running;
  assert.deepEqual(seen, ["alice"]);
  assert.match(q.dead()[0].lastError, /the payload is refused: to is missing/);
});

test("a job is enqueued by statements that any connection runs", () => {
  const db = fresh();
  const { sql, params } = enqueueSql("mail", { n: 1 }, { delay: 0, priority: 3 });
  const insert = db.withTransaction((tx) => tx.query(sql, params));
  assert.equal(db.queue("mail").getJob(insert[0].id).priority, 3);
  db.queue("mail").configure({ maxAttempts: 9 });
  const attempts = [{}, { maxAttempts: 3 }].map((options) => {
    const { sql, params } = enqueueSql("mail", 1, { delay: 100, ...options });
    const [{ id }] = db.withTransaction((tx) => tx.query(sql, params));
    return db.queue("mail").getJob(id).maxAttempts;
  });
  assert.deepEqual(attempts, [9, 3]);
  assert.throws(() => enqueueSql("mail", 1, { uniqueKey: "k" }), /a plain INSERT cannot say uniqueKey/);
  assert.throws(() => enqueueSql("a\u0000b", 1), /NUL/);
  const full = enqueueWithSql("mail", { n: 2 }, { uniqueKey: "k", delay: 5, metadata: { a: "b" } });
  const answer = JSON.parse(db.withTransaction((tx) => tx.query(full.sql, full.params))[0].enqueued);
  assert.equal(answer.status, "enqueued");
  const again = JSON.parse(db.withTransaction((tx) => tx.query(full.sql, full.params))[0].enqueued);
  assert.deepEqual(again, { id: answer.id, status: "exists" });
});

test("raw text and reals are stored as they are", () => {
  const db = fresh();
  db.queue("q").enqueue(new RawText('{"n": 1.0}'));
  assert.equal(db.queue("q").claimOne("w").payloadText, '{"n": 1.0}');
  assert.deepEqual(db.query("SELECT typeof(?) AS a, typeof(?) AS b", [new Real(2), 2]), [{ a: "real", b: "integer" }]);
});
