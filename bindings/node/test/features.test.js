const assert = require("node:assert/strict");
const { test } = require("node:test");
const { cronNextAfter, TimeoutError } = require("../dist/index.js");
const { child, fresh, soon, until } = require("./helper.js");

test("streams: published, read, subscribed, saved", async () => {
  const db = fresh();
  const events = db.stream("orders");
  assert.equal(events.publish({ n: 1 }), 1);
  assert.equal(events.publishWithKey("k", { n: 2 }), 2);
  db.withTransaction((tx) => events.publishTx(tx, { n: 3 }, ""));
  assert.deepEqual(
    events.readSince(0).map(({ offset, key, payload }) => [offset, key, payload.n]),
    [
      [1, null, 1],
      [2, "k", 2],
      [3, "", 3],
    ],
  );
  assert.equal(events.saveOffset("c", 1), true);
  assert.equal(events.saveOffset("c", 1), false);
  assert.deepEqual(
    events.readFromConsumer("c", 1).map((event) => event.offset),
    [2],
  );
  const subscription = events.subscribe("c", { saveEveryN: 0, saveEveryS: 0 });
  const seen = [];
  setImmediate(() => events.publish({ n: 4 }));
  for await (const event of subscription) {
    seen.push(event.offset);
    if (event.offset === 4) {
      subscription.ack();
      await subscription.save();
      break;
    }
  }
  assert.deepEqual(seen, [2, 3, 4]);
  assert.equal(await events.getOffsetAsync("c"), 4);
  events.configure({ keepN: 1 });
  assert.equal(events.trim(), 3);
});

test("a subscriber that fails in the middle of an event sees it again", async () => {
  const db = fresh();
  const events = db.stream("orders");
  for (let n = 0; n < 3; n++) events.publish(n);
  await assert.rejects(async () => {
    for await (const event of events.subscribe("c")) if (event.payload === 1) throw new Error("no");
  }, /no/);
  assert.equal(events.getOffset("c"), 1);
});

test("an aborted subscription saves what is finished, and does not stop the event loop for it", async () => {
  const db = fresh({ busyTimeoutMs: 600_000 });
  const events = db.stream("orders");
  for (let n = 0; n < 3; n++) events.publish(n);
  const stop = new AbortController();
  const subscription = events.subscribe("c", { saveEveryN: 0, saveEveryS: 3600, signal: stop.signal });
  for (let n = 0; n < 3; n++) assert.equal((await subscription.next()).value.payload, n);
  subscription.ack();
  const none = subscription.next();
  const holder = child(
    `const tx = honker.open(path).transaction(); console.log("held"); await hear(); tx.rollback(); process.exit(0);`,
    db.path,
  );
  assert.equal(await holder.line(), "held");
  stop.abort();
  assert.deepEqual(await soon(none), { done: true, value: undefined });
  assert.equal(events.getOffset("c"), 0, "the file is held");
  const again = db.queue("q").enqueueAsync(1);
  holder.say("go on");
  await soon(again);
  assert.equal(events.getOffset("c"), 3);
  assert.equal(await holder.exit, 0);
});

test("notifications reach those who listen, from then on, in order", async () => {
  const db = fresh();
  db.notify("c", "before");
  const listener = db.listen("c");
  const sender = child(
    `const db = honker.open(path); for (let n = 0; n < 100; n++) db.notify(n % 2 ? "c" : "other", { n });`,
    db.path,
  );
  const seen = [];
  for await (const notification of listener) {
    seen.push(notification.payload.n);
    if (seen.length === 50) break;
  }
  assert.deepEqual(
    seen,
    Array.from({ length: 50 }, (_, i) => 2 * i + 1),
  );
  await sender.exit;
  for (const payload of [null, true, 5, 1.5, "text", [], {}, { nested: [{ ünicode: "✓" }] }]) {
    const next = db.listen("d");
    db.notify("d", payload);
    assert.deepEqual((await soon(next.next())).value.payload, payload);
    next.close();
  }
  assert.equal(db.pruneNotifications(), 0);
  assert.ok((await db.pruneNotificationsAsync(null, 1)) > 100);
  assert.throws(() => db.pruneNotifications(null, -1), /max_keep must not be negative/);
});

test("a listener holds back: nothing is read before it is asked for", async () => {
  const db = fresh();
  const listener = db.listen("c");
  for (let n = 0; n < 1000; n++) db.notify("c", n);
  assert.equal((await listener.next()).value.payload, 0);
  db.pruneNotifications(null, 0);
  db.notify("c", "last");
  const rest = [];
  for await (const one of listener) {
    rest.push(one.payload);
    if (one.payload === "last") break;
  }
  assert.ok(rest.length < 1000, `${rest.length}`);
});

test("an aborted signal ends an iterator, whether it waits or not", async () => {
  const db = fresh();
  const stop = new AbortController();
  const waiting = db.listen("c", { signal: stop.signal });
  const next = waiting.next();
  await new Promise(setImmediate);
  stop.abort();
  assert.deepEqual(await soon(next), { done: true, value: undefined });
  assert.deepEqual(await db.listen("c", { signal: AbortSignal.abort() }).next(), { done: true, value: undefined });
  assert.deepEqual(await db.queue("q").claim("w", { signal: stop.signal }).next(), { done: true, value: undefined });
});

test("schedules are added, changed, paused and fired", async () => {
  const db = fresh();
  const scheduler = db.scheduler();
  scheduler.add({ name: "nightly", queue: "backups", cron: "0 3 * * *", payload: { go: true }, metadata: { by: "test" } });
  const [one] = scheduler.list();
  assert.deepEqual(
    { ...one, nextFireAt: 0 },
    {
      ...one,
      name: "nightly",
      queue: "backups",
      cronExpr: "0 3 * * *",
      payload: { go: true },
      priority: 0,
      expiresS: null,
      nextFireAt: 0,
      enabled: true,
      maxAttempts: 3,
    },
  );
  assert.equal(scheduler.soonest(), one.nextFireAt);
  assert.equal(scheduler.update("nightly", { priority: 5, expiresS: 60 }), true);
  assert.equal(scheduler.update("nightly", {}), false);
  assert.equal(scheduler.update("nightly", { expiresS: null }), true);
  assert.equal(scheduler.list()[0].expiresS, null);
  assert.equal(scheduler.list()[0].priority, 5);
  assert.deepEqual(scheduler.tick(one.nextFireAt - 1), []);
  const [fire] = scheduler.tick(new Date(one.nextFireAt * 1000));
  assert.equal(fire.fireAt, one.nextFireAt);
  assert.equal(fire.status, "enqueued");
  assert.deepEqual(db.queue("backups").claimOne("w").metadata, { by: "test" });
  assert.equal(scheduler.pause("nightly"), true);
  assert.equal(scheduler.pause("nightly"), false);
  assert.equal(scheduler.soonest(), 0);
  assert.equal(scheduler.resume("nightly"), true);
  assert.equal(scheduler.remove("nightly"), 1);
  assert.equal(scheduler.remove("nightly"), 0);
  assert.throws(() => scheduler.add({ name: "x", queue: "q", schedule: "nonsense" }), { code: "HONKER_INVALID" });
  assert.equal(cronNextAfter("@every 5s", 10), 15);
  assert.throws(() => cronNextAfter("?", 10), { code: "HONKER_INVALID" });
});

test("one of all who run the schedules leads, and gives that up when it ends", async () => {
  const db = fresh();
  db.scheduler().add({ name: "often", queue: "q", schedule: "@every 1s" });
  const stop = new AbortController();
  const running = db.scheduler().run("a", stop.signal);
  await until(() => db.queue("q").claimOne("w"));
  stop.abort();
  await soon(running);
  assert.deepEqual(db.query("SELECT * FROM _honker_locks"), []);
});

test("results are saved, waited for, and time out", async () => {
  const db = fresh();
  const waiting = db.waitResult(7, { timeoutS: 60 });
  await new Promise(setImmediate);
  db.saveResult(7, '{"ok":true}', 60);
  assert.equal(await soon(waiting), '{"ok":true}');
  assert.equal(db.getResult(7), '{"ok":true}');
  assert.equal(db.getResult(8), null);
  await assert.rejects(db.waitResult(8, { timeoutS: 0.01 }), (error) => {
    assert.ok(error instanceof TimeoutError);
    assert.match(error.message, /waitResult\(8\) timed out/);
    return true;
  });
  const reason = new Error("enough");
  const stop = new AbortController();
  const aborted = db.waitResult(8, { signal: stop.signal });
  stop.abort(reason);
  await assert.rejects(soon(aborted), reason);
  assert.equal(await db.sweepResultsAsync(), 0);
});

test("locks exclude, rate limits count", async () => {
  const db = fresh();
  const lock = db.tryLock("backup", "me", 60);
  assert.equal(db.tryLock("backup", null, 60), null);
  assert.equal(lock.heartbeat(60), true);
  assert.equal(lock.release(), true);
  assert.equal(lock.release(), false);
  assert.equal(lock.released, true);
  const other = await db.tryLockAsync("backup", undefined, 60);
  assert.notEqual(other.owner, "me");
  other[Symbol.dispose]();
  assert.equal(db.tryRateLimit("api", 1, 3600), true);
  assert.equal(await db.tryRateLimitAsync("api", 1, 3600), false);
  assert.equal(db.sweepRateLimits(), 0);
  assert.throws(() => db.tryRateLimit("api", 0, 60), RangeError);
  assert.throws(() => db.tryLock("a", "b", "soon"), TypeError);
});

test("an outbox delivers, tries again, and gives up", async () => {
  const db = fresh();
  const seen = [];
  const outbox = db.outbox(
    "mail",
    async (payload, job) => {
      seen.push([payload, job.attempts]);
      if (payload === "bad") throw new Error("refused");
    },
    { maxAttempts: 2, baseBackoffS: 0 },
  );
  db.withTransaction((tx) => outbox.enqueueTx(tx, "good"));
  outbox.enqueue("bad");
  const stop = new AbortController();
  const running = outbox.runWorker("w", { signal: stop.signal });
  await until(() => outbox.queue.stats().dead === 1);
  stop.abort();
  await soon(running);
  assert.deepEqual(seen, [
    ["good", 1],
    ["bad", 1],
    ["bad", 2],
  ]);
  assert.match(outbox.queue.dead()[0].lastError, /refused/);
  const signals = db.outbox("signals", (_, job) =>
    job.step("send", () => {
      seen.push("sent");
      return () => {};
    }),
  );
  signals.enqueue("with a step that cannot be saved");
  assert.equal(await signals.runOnce("w"), true);
  assert.match(signals.queue.dead()[0].lastError, /the step send has run, and is not saved: /);
  assert.deepEqual(seen.slice(3), ["sent"]);
  assert.equal(await outbox.runOnce("w"), false);
  assert.throws(() => db.outbox("mail", () => {}), RangeError);
  assert.throws(() => db.outbox("other", "no function"), TypeError);
});

test("jobs are listed and acted on, in bulk", async () => {
  const db = fresh();
  const q = db.queue("mail");
  for (let n = 0; n < 5; n++) q.enqueue({ n }, { metadata: { customer: n < 2 ? "a" : "b" } });
  for (const job of q.claimBatch("w", 3)) job.fail(`order ${job.id} is unknown`);
  assert.deepEqual(
    q.deadGroups().map(({ error, count, newest }) => [error, count, newest.payload]),
    [["order # is unknown", 3, { n: 2 }]],
  );
  const page = db.jobs.list({ state: ["dead"], metadata: { customer: "a" }, order: "oldest", pageSize: 1 });
  assert.equal(page.jobs[0].payload.n, 0);
  assert.notEqual(page.cursor, null);
  const all = [];
  for await (const job of db.jobs.each({ state: "dead", pageSize: 1 })) all.push(job.payload.n);
  assert.deepEqual(all, [2, 1, 0]);
  const retried = db.jobs.apply({ state: "dead", pageSize: 1 }, "retry");
  assert.equal(retried.changed, 1);
  assert.notEqual(retried.cursor, null);
  assert.equal(await db.jobs.applyAll({ state: "dead", pageSize: 1 }, "retry"), 2);
  assert.equal(db.jobs.apply({ queue: "mail" }, { move: "other" }).changed, 5);
  assert.equal((await db.jobs.applyAsync({ queue: "other" }, { priority: 4 })).changed, 5);
  assert.equal(db.queue("other").claimOne("w").maxAttempts, 3);
  assert.equal(await db.jobs.applyAll({ queue: "other" }, "delete"), 5);
  assert.throws(() => db.jobs.list({ nonsense: 1 }), TypeError);
  assert.throws(() => db.jobs.list({ limit: 1 }), TypeError);
  for (const pageSize of [0, 1001, 1.5, "1"]) {
    assert.throws(() => db.jobs.list({ pageSize }), { code: "HONKER_INVALID", message: /pageSize/ });
  }
  // What is undefined by mistake never means all jobs.
  for (const filter of [
    { queue: undefined },
    { state: undefined },
    { metadata: { customer: undefined } },
    { queue: null },
  ]) {
    assert.throws(() => db.jobs.apply(filter, "delete"), { code: "HONKER_INVALID" }, JSON.stringify(filter));
    await assert.rejects(db.jobs.applyAll(filter, "delete"), { code: "HONKER_INVALID" });
  }
  assert.throws(() => db.jobs.apply(undefined, "delete"), { code: "HONKER_INVALID" });
  db.queue("done").configure({ keepDoneS: 60 });
  const id = db.queue("done").enqueue(1);
  db.saveResult(id, '{"sent":true}');
  db.queue("done").claimOne("w").ack();
  assert.equal(db.jobs.list({ queue: "done" }).jobs[0].result, '{"sent":true}');
  assert.equal(db.jobs.list({ queue: "done", cursor: undefined }).jobs.length, 1);
  assert.throws(() => db.jobs.apply({}, "explode"), { code: "HONKER_INVALID" });
});

test("many jobs at once, all or none", async () => {
  const db = fresh();
  const done = await db.enqueueManyAsync([
    { queue: "a", payload: 1, delay: 60 },
    { queue: "b", payload: 2, uniqueKey: "k" },
    { queue: "b", payload: 3, uniqueKey: "k" },
  ]);
  assert.deepEqual(
    done.map((one) => one.status),
    ["enqueued", "enqueued", "exists"],
  );
  assert.throws(() => db.enqueueMany([{ queue: "a", payload: 1 }, { queue: "a" }]), TypeError);
  assert.equal(db.jobs.list().jobs.length, 2);
});

test("metrics, queues and status are told", () => {
  const db = fresh();
  db.queue("mail").enqueue(1);
  db.queue("mail").configure({ keepDoneS: 60 });
  assert.equal(db.queues()[0].keepDoneS, 60);
  const [mail] = db.metrics().queues;
  assert.equal(mail.queue, "mail");
  assert.equal(mail.depth.due, 1);
  assert.equal(db.status().connections.readersMax, 8);
});
