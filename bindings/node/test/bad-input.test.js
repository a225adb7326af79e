const assert = require("node:assert/strict");
const { test } = require("node:test");
const { open } = require("../dist/index.js");
const { fresh, freshPath } = require("./helper.js");

/** Each is refused, with an error that says what is wrong, and nothing is done. */
function refused(calls) {
  for (const [call, type, message] of calls) {
    assert.throws(
      call,
      (error) => {
        assert.ok(error instanceof type, `${call}: ${error.stack}`);
        assert.match(error.message, message, String(call));
        assert.equal(error.code, "HONKER_INVALID", String(call));
        return true;
      },
      String(call),
    );
  }
}

test("options of open", () => {
  refused([
    [() => open(5), TypeError, /path must be a string, not 5/],
    [() => open("a\u0000b"), Error, /NUL/],
    [() => open(freshPath(), { readers: 1 }), TypeError, /options of open have no readers: there are maxReaders/],
    [() => open(freshPath(), { maxReaders: 0 }), RangeError, /maxReaders must be positive/],
    [() => open(freshPath(), { maxReaders: "8" }), TypeError, /maxReaders must be a whole number, not "8"/],
    [() => open(freshPath(), { watcherBackend: "KERNEL" }), RangeError, /unknown watcher backend: "KERNEL"/],
    [() => open(freshPath(), null, " polling "), RangeError, /unknown watcher backend/],
    [() => open(freshPath(), { watcherBackend: 5 }), RangeError, /unknown watcher backend/],
    [() => open(freshPath(), { watcherPollIntervalMs: 0 }), RangeError, /poll interval must be positive/],
    [() => open(freshPath(), { durability: "none" }), RangeError, /durability must be one of normal, full/],
    [() => open(freshPath(), { busyTimeoutMs: -1 }), RangeError, /must not be negative/],
  ]);
});

test("what an enqueue takes", () => {
  const db = fresh();
  const q = db.queue("q");
  const circular = {};
  circular.self = circular;
  const tx = fresh().transaction();
  refused([
    [() => db.queue(), TypeError, /name must be a string, not undefined/],
    [() => db.queue("a\ud800"), RangeError, /well-formed Unicode/],
    [() => db.queue("a\u0000b").enqueue(1), Error, /NUL/],
    [() => q.enqueue(), TypeError, /payload cannot be written as JSON: it is undefined/],
    [() => q.enqueue(() => {}), TypeError, /payload cannot be written as JSON/],
    [() => q.enqueue(circular), TypeError, /payload cannot be written as JSON/],
    [() => q.enqueue(1, { dealy: 5 }), TypeError, /options of an enqueue have no dealy/],
    [() => q.enqueue(1, { delay: "5" }), TypeError, /delay must be a whole number/],
    [() => q.enqueue(1, { delay: 0.5 }), RangeError, /delay must be a whole number, exactly: 0.5/],
    [() => q.enqueue(1, { delay: Number.NaN }), RangeError, /delay/],
    [() => q.enqueue(1, { delay: 2 ** 60 }), RangeError, /delay/],
    [() => q.enqueue(1, { delay: 2n ** 70n }), RangeError, /delay must be an integer of 64 bits/],
    [() => q.enqueue(1, { runAt: new Date("nonsense") }), RangeError, /runAt must be a valid Date/],
    [() => q.enqueue(1, { metadata: { n: 1 } }), TypeError, /metadata.n must be a string/],
    [() => q.enqueue(1, { metadata: "text" }), TypeError, /metadata must be an object/],
    [() => q.enqueue(1, { metadata: { big: "x".repeat(9000) } }), Error, /metadata/],
    [() => q.enqueue(1, { uniqueKey: "" }), RangeError, /uniqueKey must not be empty/],
    [
      () => q.enqueue(1, { uniqueKey: "k", uniqueUntil: "later" }),
      RangeError,
      /uniqueUntil must be one of settled, claimed/,
    ],
    [() => q.enqueue(1, { maxRunS: 0 }), RangeError, /maxRunS must be positive/],
    [() => q.enqueue(1, { batch: "first" }), TypeError, /batch must be a whole number/],
    [() => q.enqueue(1, { batch: 999 }), Error, /batch/],
    [() => q.enqueue(1, { tx: {} }), TypeError, /tx must be a Transaction/],
    [() => q.enqueueTx(undefined, 1), TypeError, /tx must be a Transaction/],
    [() => db.enqueueMany("jobs"), TypeError, /jobs must be an array/],
    [() => db.enqueueMany([{ queue: "q", payload: 1, tx: null }]), TypeError, /jobs\[0\] have no tx/],
    [() => db.queue("other", { maxAttempts: 0 }), RangeError, /maxAttempts must be positive/],
  ]);
  assert.throws(() => q.enqueue(1, { tx }), { code: "HONKER_MISUSE", message: /of another database/ });
  tx.rollback();
  assert.equal(db.jobs.list().jobs.length, 0, "nothing was done");
});

test("what settles and claims", () => {
  const db = fresh();
  const q = db.queue("q");
  q.enqueue(1);
  const job = q.claimOne("w");
  refused([
    [() => q.claimOne(), TypeError, /worker must be a string/],
    [() => q.claimBatch("w", "2"), TypeError, /n must be a whole number/],
    [() => q.claim("w", { idlePollS: -1 }), RangeError, /idlePollS must be positive/],
    [() => q.claim("w", { idlePolls: 1 }), TypeError, /options of claim have no idlePolls/],
    [() => q.claim("w", { signal: "stop" }), TypeError, /signal must be an AbortSignal/],
    [() => job.retry("soon"), TypeError, /delayS must be a whole number/],
    [() => job.retry(1, 5), TypeError, /error must be a string/],
    [() => job.fail(new Error("no")), TypeError, /error must be a string, not Error/],
    [() => job.heartbeat(), TypeError, /extendS/],
    [() => q.ackBatch(1, "w"), TypeError, /ids must be an array/],
    [() => q.ackBatch(["1"], "w"), TypeError, /ids\[0\] must be a whole number/],
    [() => q.cancel(1.5), RangeError, /id must be a whole number/],
    [() => q.getJob(2 ** 53), RangeError, /id must be a whole number/],
    [() => q.configure("paused"), TypeError, /settings must be an object/],
    [() => db.notify(5, 1), TypeError, /channel must be a string/],
    [() => db.listen("c", { fallbackPollS: 0 }), RangeError, /fallbackPollS must be positive/],
    [() => db.stream("s").subscribe("c", { saveEveryS: -1 }), Error, /save_every/],
    [() => db.scheduler().add({ name: "n", queue: "q" }), TypeError, /schedule must be a string/],
    [
      () => db.scheduler().add({ name: "n", queue: "q", schedule: "@daily", overlap: "x" }),
      RangeError,
      /overlap must be one of/,
    ],
    [() => db.saveResult(1, { a: 1 }), TypeError, /value must be a string/],
    [() => db.createBatch({ onFinished: { queue: 5, payload: 1 } }), TypeError, /queue must be a string/],
  ]);
  assert.deepEqual(q.claimBatch("w", 0), []);
  assert.deepEqual(q.claimBatch("w", -1), []);
  assert.equal(job.ack(), true);
});

test("SQL and its parameters", () => {
  const db = fresh();
  refused([
    [() => db.query(5), TypeError, /sql must be a string/],
    [() => db.query("SELECT ?", { a: 1 }), TypeError, /params must be an array/],
    [() => db.query("SELECT ?", "text"), TypeError, /params must be an array/],
    [() => db.query("SELECT ?", [{}]), TypeError, /a value of SQL is null, a number/],
    [() => db.query("SELECT ?", [Symbol("s")]), TypeError, /a value of SQL is/],
    [() => db.query("SELECT ?", [2n ** 64n]), TypeError, /64 bits/],
    [() => db.query("SELECT ?", ["a\ud800"]), RangeError, /params\[0\] must be well-formed/],
    [() => db.query("SELECT ?", []), Error, /parameter/],
  ]);
  assert.throws(() => db.query("DELETE FROM _honker_live"), { code: "HONKER_READONLY" });
  db.withTransaction((tx) => {
    for (const sql of ["COMMIT", "PRAGMA journal_mode = DELETE", "ATTACH 'x' AS y"]) {
      assert.throws(() => tx.execute(sql), { code: "HONKER_INVALID" });
    }
    assert.deepEqual(tx.query("SELECT ? AS a, ? AS b, ? AS c, ? AS d", [true, null, undefined, new Uint8Array([1])]), [
      { a: 1, b: null, c: null, d: Buffer.from([1]) },
    ]);
  });
});

test("what is large: a payload of ten megabytes, a claim of many", () => {
  const q = fresh().queue("q");
  const text = "ü✓".repeat(2_500_000);
  q.enqueue(text);
  assert.equal(q.claimOne("w").payload, text);
  for (let n = 0; n < 300; n++) q.enqueue(n);
  assert.deepEqual(
    q.claimBatch("w", 1000).map((job) => job.payload),
    Array.from({ length: 300 }, (_, n) => n),
  );
});
