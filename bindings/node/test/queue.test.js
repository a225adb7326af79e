const assert = require("node:assert/strict");
const { test } = require("node:test");
const { Discard, RawText } = require("../dist/index.js");
const { fresh, child, soon, until } = require("./helper.js");

test("a job is enqueued, claimed and acknowledged", () => {
  const q = fresh().queue("mail");
  const id = q.enqueue({ to: "alice", n: 1 }, { metadata: { traceparent: "00-1" }, priority: 3 });
  const job = q.claimOne("w");
  assert.equal(job.id, id);
  assert.deepEqual(job.payload, { to: "alice", n: 1 });
  assert.deepEqual(job.metadata, { traceparent: "00-1" });
  assert.equal(job.queue, "mail");
  assert.equal(job.workerId, "w");
  assert.equal(job.attempts, 1);
  assert.equal(job.maxAttempts, 3);
  assert.equal(q.claimOne("w"), null);
  assert.equal(job.ack(), true);
  assert.equal(job.ack(), false);
  assert.equal(q.getJob(id), null);
});

test("every call has a twin off the event loop", async () => {
  const q = fresh().queue("mail");
  const id = await q.enqueueAsync({ n: 1 });
  assert.equal((await q.getJobAsync(id)).state, "pending");
  const job = await q.claimOneAsync("w");
  assert.equal(await job.heartbeatAsync(60), true);
  assert.equal(await job.retryAsync(0, "later"), true);
  const [again] = await q.claimBatchAsync("w", 5);
  assert.equal(again.attempts, 2);
  assert.equal(await again.releaseAsync(), true);
  const third = await q.claimOneAsync("w");
  assert.equal(third.attempts, 2);
  assert.equal(await third.failAsync("never"), true);
  assert.equal((await q.deadAsync())[0].lastError, "never");
  assert.equal(await q.requeueDeadAsync(id), true);
  assert.equal(await q.cancelAsync(id), true);
  assert.equal(await q.sweepExpiredAsync(), 0);
  assert.equal(await q.purgeDeadAsync(0), 0);
});

test("one key, one job", () => {
  const q = fresh().queue("mail");
  const first = q.tryEnqueue({ n: 1 }, { uniqueKey: "k" });
  assert.equal(first.status, "enqueued");
  assert.deepEqual(q.tryEnqueue({ n: 2 }, { uniqueKey: "k" }), { id: first.id, status: "exists" });
  assert.deepEqual(q.tryEnqueue({ n: 3 }, { uniqueKey: "k", onConflict: "replace" }), { id: first.id, status: "replaced" });
  assert.equal(q.enqueue({ n: 4 }, { uniqueKey: "k" }), first.id);
  assert.deepEqual(q.claimOne("w").payload, { n: 3 });
});

test("integers that a number does not hold are bigints, both ways", () => {
  const db = fresh();
  const q = db.queue("big");
  q.enqueue({ id: 2n ** 60n, text: "12345678901234567890", small: 12345678901234567n });
  const job = q.claimOne("w");
  assert.equal(job.payloadText, '{"id":1152921504606846976,"text":"12345678901234567890","small":12345678901234567}');
  assert.deepEqual(job.payload, { id: 2n ** 60n, text: "12345678901234567890", small: 12345678901234567n });
  assert.deepEqual(db.query("SELECT ? AS a, ? AS b, ? AS c", [2n ** 62n, 1.5, Buffer.from([0, 255])]), [
    { a: 2n ** 62n, b: 1.5, c: Buffer.from([0, 255]) },
  ]);
});

test("a payload that is no JSON is its text", () => {
  const db = fresh();
  db.withTransaction((tx) => tx.execute("INSERT INTO _honker_live (queue, payload) VALUES ('q', 'not json')"));
  assert.equal(db.queue("q").claimOne("w").payload, "not json");
});

test("jobs are claimed as they come, and an abandoned loop ends", async () => {
  const db = fresh();
  const q = db.queue("mail");
  const seen = [];
  const writer = child(
    `const q = honker.open(path).queue("mail"); for (let n = 0; n < 20; n++) { q.enqueue({ n }); await new Promise((r) => setTimeout(r, 2)); }`,
    db.path,
  );
  const jobs = q.claim("w", { idlePollS: null });
  for await (const job of jobs) {
    seen.push(job.payload.n);
    assert.equal(await job.ackAsync(), true);
    if (seen.length === 20) break;
  }
  assert.deepEqual(
    seen,
    Array.from({ length: 20 }, (_, n) => n),
  );
  assert.equal(jobs.closed, true);
  assert.equal(await writer.exit, 0);
});

test("a waker gives each worker its jobs, and null when it is aborted or closed", async () => {
  const q = fresh().queue("mail");
  const waker = q.claimWaker();
  const stop = new AbortController();
  const aborted = waker.next("a", { signal: stop.signal });
  stop.abort();
  assert.equal(await soon(aborted), null);
  const [one, two] = [waker.next("a"), waker.next("b")];
  q.enqueue(1);
  q.enqueue(2);
  const jobs = await soon(Promise.all([one, two]));
  assert.deepEqual(jobs.map((job) => job.workerId).sort(), ["a", "b"]);
  const waiting = waker.next("a");
  waker.close();
  assert.equal(await soon(waiting), null);
  assert.equal(await waker.next("a"), null);
});

test("who waits for jobs may begin while a transaction is open", async () => {
  const db = fresh();
  const q = db.queue("mail");
  const [jobs, waker] = await db.withTransactionAsync(async (tx) => {
    await q.enqueueAsync(1, { tx });
    const next = [q.claim("a").next(), q.claimWaker().next("b")];
    await q.enqueueAsync(2, { tx });
    return next;
  });
  assert.deepEqual([(await soon(jobs)).value.payload, (await soon(waker)).payload].sort(), [1, 2]);
});

test("settings hold, a paused queue gives nothing", () => {
  const q = fresh().queue("mail");
  q.enqueue(1);
  q.configure({ concurrency: 1, retry: { baseS: 1, factor: 2, maxS: 10, jitter: 0 }, keepDoneS: 60 });
  assert.equal(q.settings().retry.baseS, 1);
  q.pause();
  assert.equal(q.claimOne("w"), null);
  q.resume();
  assert.equal(q.claimOne("w").payload, 1);
  q.enqueue(2);
  assert.equal(q.claimOne("w"), null, "one at a time");
  assert.throws(() => q.configure({ nonsense: 1 }), { code: "HONKER_INVALID" });
});

test("a step is done once, whatever is tried again", async () => {
  const db = fresh();
  const q = db.queue("steps");
  q.enqueue(1);
  let calls = 0;
  const first = q.claimOne("w");
  assert.deepEqual(await first.step("charge", async () => ({ charge: ++calls })), { charge: 1 });
  first.retry(0);
  const second = q.claimOne("w");
  assert.deepEqual(await second.step("charge", async () => ({ charge: ++calls })), { charge: 1 });
  db.withTransaction((tx) => {
    tx.execute("CREATE TABLE ledger (n)");
    second.stepIn(tx, "write", () => tx.execute("INSERT INTO ledger VALUES (1)"));
  });
  assert.equal(
    db.withTransaction((tx) => second.stepIn(tx, "write", () => assert.fail())),
    1,
  );
  second.ack();
  await assert.rejects(
    second.step("late", () => 1),
    { code: "HONKER_NOT_FOUND" },
  );
  assert.equal(calls, 1);
});

test("who has no worker is told that a step has run and is not saved", async () => {
  const db = fresh();
  db.queue("steps").enqueue(1);
  const job = db.queue("steps").claimOne("w");
  const why = (error) => {
    assert.ok(error instanceof Discard);
    assert.match(error.message, /^the step one has run, and is not saved: .*it is function/);
    assert.equal(error.cause.code, "HONKER_INVALID");
    return true;
  };
  await assert.rejects(
    job.step("one", () => () => 1),
    why,
  );
  const tx = db.transaction();
  assert.throws(() => job.stepIn(tx, "one", () => () => 1), why);
  assert.throws(() => job.stepIn(tx, "two", async () => Promise.reject(new Error("late"))), /fn must not be asynchronous/);
  assert.equal(
    job.stepIn(tx, "two", () => 2),
    2,
  );
  tx.commit();
  // Neither has been saved, and what a step throws itself is as it is.
  const own = new Error("own");
  await assert.rejects(
    job.step("one", () => Promise.reject(own)),
    own,
  );
  // Text that is no JSON is saved as it is, as a payload is.
  for (let i = 0; i < 2; i++) assert.equal(await job.step("one", () => new RawText("no JSON")), "no JSON");
  await assert.rejects(
    job.step("a\0b", () => assert.fail()),
    (error) => !(error instanceof Discard),
  );
  assert.ok(job.ack());
});

test("a batch ends with its last job, and enqueues what was asked", async () => {
  const db = fresh();
  const q = db.queue("parts");
  const batch = await db.batch((batch) => void q.enqueue(1, { batch }), {
    onFinished: { queue: "after", payload: { done: true } },
  });
  assert.deepEqual(batch.get(), { total: 1, pending: 1, done: 0, dead: 0, cancelled: 0, sealed: true, finishedAt: null });
  q.claimOne("w").ack();
  assert.equal(batch.get().done, 1);
  const after = db.queue("after").claimOne("w");
  assert.deepEqual(after.payload, { done: true });
  assert.equal(after.metadata.batch_id, String(batch.id));
  assert.equal(db.getBatch(999).get(), null);
});

test("hooks around enqueueing see and change what is enqueued, and may hold it back", async () => {
  const db = fresh();
  const q = db.queue("mail");
  db.aroundEnqueue((call, next) => {
    if (call.payload === "no") return undefined;
    call.options.metadata = { ...call.options.metadata, from: "hook" };
    return next();
  });
  q.enqueue("a", { metadata: { mine: "1" } });
  await q.enqueueAsync("b");
  db.enqueueMany([{ queue: "mail", payload: "c" }]);
  assert.equal(q.enqueue("no"), undefined);
  assert.deepEqual(
    q.claimBatch("w", 9).map((job) => [job.payload, job.metadata]),
    [
      ["a", { mine: "1", from: "hook" }],
      ["b", { from: "hook" }],
      ["c", { from: "hook" }],
    ],
  );
});

test("what waits keeps the program running, an open database does not", async () => {
  const idle = child(`honker.open(path).queue("q").enqueue(1); console.log("open");`, fresh().path);
  assert.equal(await idle.line(), "open");
  assert.equal(await soon(idle.exit), 0);
  const db = fresh();
  const waiting = child(
    `const db = honker.open(path); const job = await db.queue("q").claim("w").next(); console.log(job.value.payload);
     db.queue("q").claim("w").unref().next();`,
    db.path,
  );
  await until(() => db.queue("q").enqueue("go"));
  assert.equal(await waiting.line(), "go");
  assert.equal(await soon(waiting.exit), 0);
});

test("calls that wait at the same time get all that was claimed, each what it asked for", async () => {
  const db = fresh();
  const q = db.queue("q");
  const claims = q.claim("w");
  const one = claims.next();
  const many = claims.nextBatch(10);
  const more = claims.nextBatch(10);
  // The first waits already; the others have asked.
  await new Promise(setImmediate);
  const ids = q.enqueueMany(Array.from({ length: 15 }, (_, i) => i));
  const got = [(await soon(one)).value, ...(await soon(many)), ...(await soon(more))];
  assert.deepEqual(
    got.map((job) => job.id).sort((a, b) => a - b),
    ids,
  );
  claims.close();
});

test("a string that looks like an integer's stays a string", () => {
  const db = fresh();
  const q = db.queue("q");
  const payload = { text: "\u0000honker-integer:5", large: 2n ** 60n };
  q.enqueue(payload);
  assert.deepEqual(q.claimOne("w").payload, payload);
});
