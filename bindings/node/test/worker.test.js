const assert = require("node:assert/strict");
const fs = require("node:fs");
const { test } = require("node:test");
const { Discard, open, RawText, Retry, Snooze, UnfinishedError, work } = require("../dist/index.js");
const { child, fresh, freshPath, soon, until } = require("./helper.js");

const silent = { logger: null };

/** A logger that keeps what it is told. */
function keeping() {
  const lines = [];
  const add = (level) => (message) => lines.push(`${level}: ${message}`);
  return { lines, logger: { info: add("info"), warn: add("warn"), error: add("error") } };
}

/** Runs a worker until `done` answers something, and ends it. */
async function during(worker, done, options) {
  const running = worker.run({ signals: false, ...options });
  try {
    return await Promise.race([until(done), running.then(() => assert.fail("the worker ended"))]);
  } finally {
    await worker.stop();
    await running;
  }
}

// It settles one and claims the next; then there is nothing to ask until that one has returned.
test("one call for each job is enough", async (t) => {
  const db = fresh();
  const q = db.queue("q");
  q.enqueueMany(Array.from({ length: 40 }, (_, n) => n));
  const { addon } = db.core;
  const { submit } = addon;
  const turns = { count: 0 };
  addon.submit = function counted(database, operation, ...args) {
    if (operation === addon.operations.workerSettleNext) turns.count++;
    return submit.call(this, database, operation, ...args);
  };
  t.after(() => {
    addon.submit = submit;
  });
  await during(
    db.worker("q", async () => undefined, silent),
    () => q.stats().pending + q.stats().claimed === 0,
  );
  assert.ok(turns.count >= 41 && turns.count < 60, `${turns.count} calls`);
});

// It has run: another attempt would run it again, so that there is none.
test("a step whose value cannot be saved is not run again", async () => {
  const db = fresh();
  db.withTransaction((tx) => tx.execute("CREATE TABLE paid (what)"));
  const q = db.queue("pay", { maxAttempts: 3 });
  q.configure({ retry: { baseS: 0, factor: 1, maxS: 0, jitter: 0 } });
  const circle = {};
  circle.circle = circle;
  const thrown = (what) => ({
    toJSON() {
      throw what;
    },
  });
  const values = {
    circle: [circle, /circular|cyclic/i],
    "integer in a circle": [[1n, circle], /circular|cyclic/i],
    function: [() => 1, /it is function/],
    symbol: [Symbol("s"), /it is symbol/],
    "throws an error": [thrown(new Error("no JSON of me")), /no JSON of me/],
    "throws null": [thrown(null), /cannot be written as JSON/],
    "half of a pair": [new RawText("\ud800"), /half of a surrogate pair/],
    NUL: [new RawText("a\0b"), /NUL/],
  };
  const ways = {
    plain: (job, step) => job.step("pay", async () => step()),
    tx: (job, step) => job.database.withTransaction((tx) => job.stepIn(tx, "pay", () => step(tx))),
    "asynchronous tx": (job, step) =>
      job.database.withTransactionAsync(async (tx) => job.stepIn(tx, "pay", () => step(tx))),
    wrapped: (job, step) =>
      job
        .step("pay", step)
        .catch((error) => Promise.reject(new Error("outermost", { cause: new Error("not paid", { cause: error }) }))),
  };
  for (const what of Object.keys(values)) for (const way of Object.keys(ways)) q.enqueue({ what, way });
  const jobs = q.stats().pending;
  const ran = [];
  const { lines, logger } = keeping();
  const worker = db.worker(
    "pay",
    async (job) => {
      const { what, way } = job.payload;
      await ways[way](job, (tx) => {
        ran.push(`${what}, ${way}`);
        tx?.execute("INSERT INTO paid VALUES (?)", [what]);
        return values[what][0];
      });
    },
    { logger },
  );
  await during(worker, () => q.stats().dead === jobs);
  assert.deepEqual(ran.sort(), [...new Set(ran)]);
  assert.equal(ran.length, jobs);
  assert.deepEqual(db.query("SELECT (SELECT count(*) FROM paid) AS paid, (SELECT count(*) FROM _honker_steps) AS steps"), [
    { paid: 0, steps: 0 },
  ]);
  const dead = q.dead();
  assert.equal(dead.length, jobs);
  for (const { payload, attempts, lastError } of dead) {
    assert.equal(attempts, 1);
    assert.match(lastError, /the step pay has run, and is not saved: /);
    assert.match(lastError, values[payload.what][1], `${payload.what}, ${payload.way}`);
    if (payload.way === "wrapped") assert.match(lastError, /^Error: outermost/);
  }
  const said = lines.filter((line) => /it is dead now: .*the step pay has run, and is not saved/s.test(line));
  assert.equal(said.length, jobs);
});

test("what a handler does and throws decides", async () => {
  const db = fresh();
  const q = db.queue("mail", { maxAttempts: 2 });
  for (const what of ["ok", "retry", "discard", "snooze", "throw"]) q.enqueue(what);
  const tried = [];
  const { lines, logger } = keeping();
  const errors = [];
  const worker = db.worker(
    "mail",
    async (job) => {
      tried.push(job.payload);
      if (job.payload === "retry") throw new Retry("later", { delayS: 600 });
      if (job.payload === "discard") throw new Discard("never");
      if (job.payload === "snooze") throw new Snooze(300);
      if (job.payload === "throw") throw new Error("smtp is down");
    },
    { logger, onError: (error, job) => errors.push([error.message, job.payload]) },
  );
  const settled = () => q.stats().claimed === 0 && tried.length === 5;
  await during(worker, settled);
  const now = Math.floor(Date.now() / 1000);
  const left = Object.fromEntries(db.jobs.list({ state: "delayed" }).jobs.map((job) => [job.payload, job]));
  assert.deepEqual(Object.keys(left).sort(), ["retry", "snooze", "throw"]);
  assert.equal(left.retry.attempts, 1);
  assert.ok(Math.abs(left.retry.runAt - now - 600) < 120);
  assert.equal(left.snooze.attempts, 0);
  assert.equal(left.throw.attempts, 1);
  assert.match(q.dead()[0].lastError, /never/);
  assert.deepEqual(errors.sort(), [
    ["later", "retry"],
    ["never", "discard"],
    ["smtp is down", "throw"],
  ]);
  assert.ok(
    lines.some((line) => /^error: honker: job 5 of mail failed, attempt 1 of 2, next try in about 15 s: .*smtp/.test(line)),
    lines.join("\n"),
  );
  assert.ok(lines.some((line) => /attempt 1 of 2, it is dead now: Discard: never/.test(line)));
  assert.match(lines.at(-1), /ended: 1 done, 1 snoozed, 2 retried, 1 dead, 0 released, 0 running/);
});

test("no more jobs of a queue are in hand than it may have", async () => {
  const db = fresh();
  db.queue("few").enqueueMany(Array.from({ length: 10 }, (_, n) => n));
  db.queue("many").enqueueMany(Array.from({ length: 6 }, (_, n) => n));
  const running = { few: 0, many: 0 };
  const most = { few: 0, many: 0 };
  let done = 0;
  const worker = db.worker(
    [{ name: "few", weight: 5, maxInHand: 1 }, "many"],
    async ({ queue }) => {
      most[queue] = Math.max(most[queue], ++running[queue]);
      if (queue === "many") await until(() => most.many >= 3);
      else await new Promise(setImmediate);
      running[queue]--;
      done++;
    },
    { concurrency: 4, ...silent },
  );
  await during(worker, () => done === 16);
  assert.equal(most.few, 1);
  assert.throws(() => db.worker([{ name: "few", max: 1 }], () => {}), /have no max: there are name, weight, maxInHand/);
  assert.throws(() => db.worker([{ name: "few", maxInHand: 0 }], () => {}), /maxInHand must be positive/);
});

test("handlers run side by side, several queues by weight", async () => {
  const db = fresh();
  for (let n = 0; n < 50; n++) {
    db.queue("a").enqueue(n);
    db.queue("b").enqueue(n);
  }
  let running = 0;
  let most = 0;
  let done = 0;
  const handler = async () => {
    most = Math.max(most, ++running);
    await new Promise((resolve) => setTimeout(resolve, 5));
    running--;
    done++;
  };
  await during(db.worker({ a: 3, b: 1 }, handler, { concurrency: 8, ...silent }), () => done === 100);
  assert.ok(most > 1 && most <= 8, `${most}`);
  assert.equal(db.jobs.list().jobs.length, 0);
});

test("a cancelled job's handler is told, and its end is settled by nobody", async () => {
  const db = fresh();
  const id = db.queue("mail").enqueue(1);
  let reason;
  const worker = db.worker(
    "mail",
    (job) =>
      new Promise((resolve) => {
        job.signal.addEventListener("abort", () => {
          reason = job.signal.reason;
          resolve();
        });
        db.queue("mail").cancel(id);
      }),
    silent,
  );
  await during(worker, () => reason);
  assert.equal(reason.code, "HONKER_JOB_LOST");
  assert.equal(reason.reason, "gone");
});

test("a handler that runs for too long is told, and its job tried again", async () => {
  const db = fresh();
  const q = db.queue("mail");
  q.enqueue(1, { maxRunS: 1 });
  let reason;
  const worker = db.worker(
    "mail",
    (job) =>
      new Promise((resolve) => {
        job.signal.addEventListener("abort", () => {
          reason = job.signal.reason.reason;
          resolve();
        });
      }),
    silent,
  );
  await during(worker, () => reason);
  assert.equal(reason, "timeout");
  assert.equal(q.stats().delayed, 1);
});

test("what a handler settles by itself is left alone", async () => {
  const db = fresh();
  const q = db.queue("mail");
  for (const how of ["ack", "retry", "tx", "settled"]) q.enqueue(how);
  const { lines, logger } = keeping();
  let done = 0;
  const worker = db.worker(
    "mail",
    async (job) => {
      if (job.payload === "ack") assert.equal(job.ack(), true);
      if (job.payload === "retry") assert.equal(await job.retryAsync(600), true);
      if (job.payload === "tx") db.withTransaction((tx) => assert.equal(job.ack({ tx }), true));
      if (job.payload === "settled") {
        const other = open(db.path);
        other.withTransaction((tx) => tx.execute("DELETE FROM _honker_live WHERE id = ?", [job.id]));
        other.close();
        job.settled();
      }
      done++;
    },
    { logger },
  );
  await during(worker, () => done === 4 && q.stats().claimed === 0);
  assert.equal(q.stats().delayed, 1);
  assert.equal(q.stats().pending, 0);
  assert.deepEqual(
    lines.filter((line) => !line.startsWith("info")),
    [],
  );
});

test("a handler ends its job in a transaction of the worker's database", async () => {
  const path = freshPath();
  const db = open(path);
  db.withTransaction((tx) => tx.execute("CREATE TABLE done (id INTEGER)"));
  const id = db.queue("q").enqueue(1);
  const stop = new AbortController();
  const options = { ...silent, signals: false, signal: stop.signal };
  const running = work(
    path,
    "q",
    async (job) => {
      await job.database.withTransactionAsync(async (tx) => {
        await tx.executeAsync("INSERT INTO done VALUES (?)", [job.id]);
        assert.ok(await job.ackAsync({ tx }));
      });
    },
    options,
  );
  await until(() => db.query("SELECT id FROM done").length === 1);
  stop.abort();
  await soon(running);
  assert.deepEqual(db.query("SELECT id FROM done"), [{ id }]);
  assert.equal(db.jobs.list().jobs.length, 0);
  db.close();
});

test("middleware is around each job", async () => {
  const db = fresh();
  const q = db.queue("mail");
  q.enqueue("x", { metadata: { trace: "1" } });
  const order = [];
  const worker = db.worker("mail", (job) => order.push(`handler ${job.payload}`), {
    middleware: [
      async (job, next) => {
        order.push(`outer ${job.metadata.trace}`);
        await next();
        order.push("outer ends");
      },
      async (_, next) => {
        order.push("inner");
        return next();
      },
    ],
    ...silent,
  });
  await during(worker, () => q.stats().claimed === 0 && order.length === 4);
  assert.deepEqual(order, ["outer 1", "inner", "handler x", "outer ends"]);
});

const serving = (handler, options = "{}") =>
  `const db = honker.open(path); console.log("ready");
   await db.worker("q", async (job) => { console.log(job.payload); ${handler} }, ${options}).run({ stopTimeoutS: 0.2 }); console.log("ended");`;

test("SIGTERM lets what runs finish", async () => {
  const db = fresh();
  const worker = child(serving(`await hear();`), db.path);
  db.queue("q").enqueue("slow");
  assert.equal(await worker.line(), "ready");
  assert.equal(await worker.line(), "slow");
  const other = child(serving(`await hear();`).replace("stopTimeoutS: 0.2", "stopTimeoutS: 600"), db.path);
  assert.equal(await other.line(), "ready");
  db.queue("q").enqueue("finishes");
  assert.equal(await other.line(), "finishes");
  other.kill("SIGTERM");
  other.say("go on");
  assert.equal(await other.line(), "ended");
  worker.say("");
  worker.kill("SIGTERM");
  assert.equal(await worker.line(), "ended");
  await until(() => db.jobs.list().jobs.length === 0);
});

test("what does not finish in time is told, and given back with its attempt", async () => {
  const db = fresh();
  const worker = child(
    serving(
      `await new Promise((resolve, reject) => job.signal.addEventListener("abort", () => { console.log(job.signal.reason.reason); reject(job.signal.reason); }));`,
    ),
    db.path,
  );
  db.queue("q").enqueue("waits");
  assert.equal(await worker.line(), "ready");
  assert.equal(await worker.line(), "waits");
  worker.kill("SIGTERM");
  assert.equal(await worker.line(), "stop");
  assert.equal(await worker.line(), "ended");
  assert.equal(await soon(worker.exit), 0);
  const [job] = db.jobs.list().jobs;
  assert.equal(job.state, "due");
  assert.equal(job.attempts, 0);
});

test("a second signal gives everything back at once, and handlers that stay are an error", async () => {
  const db = fresh();
  const worker = child(serving(`await new Promise(() => setInterval(() => {}, 1000));`).replace("0.2", "600"), db.path);
  db.queue("q").enqueue("stuck");
  assert.equal(await worker.line(), "ready");
  assert.equal(await worker.line(), "stuck");
  worker.kill("SIGTERM");
  worker.kill("SIGINT");
  assert.equal(await soon(worker.exit), 70, "UnfinishedError");
  const [job] = db.jobs.list().jobs;
  assert.equal(job.state, "due");
  assert.equal(job.attempts, 0);
  assert.equal(new UnfinishedError("", 1).running, 1);
});

test("a killed worker's jobs go to another at once", async () => {
  const db = fresh();
  const worker = child(serving(`await hear();`), db.path);
  db.queue("q").enqueue("mine");
  assert.equal(await worker.line(), "ready");
  assert.equal(await worker.line(), "mine");
  let again;
  const running = db.worker(
    "q",
    (job) => {
      again = job.attempts;
    },
    silent,
  );
  await during(running, () => {
    worker.kill("SIGKILL");
    return again;
  });
  assert.equal(again, 2);
});

test("a worker waits for its file, goes on with a replaced one, and says so", async () => {
  const path = freshPath();
  const { lines, logger } = keeping();
  const seen = [];
  const stop = new AbortController();
  const running = work(`${path}.d/app.db`, "q", (job) => seen.push(job.payload), {
    logger,
    signals: false,
    signal: stop.signal,
  });
  await until(() => lines.some((line) => /waits and tries again/.test(line)));
  fs.mkdirSync(`${path}.d`);
  const first = await until(() => {
    try {
      return open(`${path}.d/app.db`);
    } catch {
      return undefined;
    }
  });
  first.queue("q").enqueue("one");
  await until(() => seen.includes("one"));
  assert.ok(lines.some((line) => /works again/.test(line)));
  // What is not acknowledged when the file goes is not done.
  await until(() => first.queue("q").stats().claimed === 0);
  first.close();
  const second = open(`${path}.new`);
  second.queue("q").enqueue("two");
  second.close();
  for (const end of ["-wal", "-shm"]) fs.rmSync(`${path}.d/app.db${end}`, { force: true });
  fs.renameSync(`${path}.new`, `${path}.d/app.db`);
  await until(() => seen.includes("two"));
  assert.ok(lines.some((line) => /opens the file anew/.test(line)));
  stop.abort();
  await soon(running);
  assert.match(lines.at(-1), /ended: 2 done/);
});

test("a locked file is waited out, and nothing is lost or done twice", async () => {
  const db = fresh({ busyTimeoutMs: 20 });
  const q = db.queue("q");
  q.enqueue("held");
  const { lines, logger } = keeping();
  const holder = child(
    `const db = honker.open(path); console.log("ready");
     for (;;) { await hear(); const tx = db.transaction(); console.log("held"); await hear(); tx.rollback(); console.log("free"); }`,
    db.path,
  );
  assert.equal(await holder.line(), "ready");
  let finish;
  let calls = 0;
  const worker = db.worker(
    "q",
    () => {
      calls++;
      return new Promise((resolve) => {
        finish = resolve;
      });
    },
    { logger },
  );
  const running = worker.run({ signals: false });
  await until(() => finish);
  holder.say("hold");
  assert.equal(await holder.line(), "held");
  finish();
  await until(() => lines.some((line) => /waits and tries again/.test(line)));
  assert.equal(q.stats().claimed, 1);
  holder.say("free");
  await until(() => q.stats().claimed === 0);
  await until(() => lines.some((line) => /works again/.test(line)));
  await worker.stop();
  await running;
  assert.equal(calls, 1);
  assert.equal(lines.filter((line) => /waits and tries again/.test(line)).length, 1);
});

test("a worker fires the schedules that it is given", async () => {
  const db = fresh();
  let fired = 0;
  const worker = db.worker("nightly", () => fired++, silent);
  await during(worker, () => fired, {
    schedules: [{ name: "often", queue: "nightly", schedule: "@every 1s", payload: "go" }],
  });
  assert.equal(db.scheduler().list()[0].name, "often");
});

test("a closed database ends its worker with an error, and so does running twice", async () => {
  const db = fresh();
  const worker = db.worker("q", () => {}, silent);
  const running = worker.run({ signals: false });
  await assert.rejects(worker.run(), { code: "HONKER_MISUSE" });
  await new Promise(setImmediate);
  db.close();
  await assert.rejects(soon(running), { code: "HONKER_CLOSED_HANDLE" });
});

test("what cannot be is refused", () => {
  const db = fresh();
  const refused = (options, queues = "q", handler = () => {}) => assert.throws(() => db.worker(queues, handler, options));
  refused({ concurrency: 0 });
  refused({ concurrency: 1.5 });
  refused({ concurency: 2 });
  refused({ retryFactor: 0.5 });
  refused({ retryJitter: 2 });
  refused({ maxRunS: 0 });
  refused({ onError: 5 });
  refused({ middleware: [5] });
  refused({}, []);
  refused({}, ["a", "a"]);
  refused({}, 5);
  refused({}, { a: -1 });
  refused({}, "q", "no function");
});

test("a reporter that never ends, and a logger that throws, keep no job from being settled", async () => {
  const db = fresh();
  const q = db.queue("mail", { maxAttempts: 1 });
  for (let i = 0; i < 3; i++) q.enqueue(i);
  const thrown = () => {
    throw new Error("the logger is broken");
  };
  const logger = { info: thrown, warn: thrown, error: thrown };
  const worker = db.worker("mail", () => Promise.reject(new Error("no")), { logger, onError: () => new Promise(() => {}) });
  await during(worker, () => q.dead().length === 3);
});

test("a payload may be checked asynchronously", async () => {
  const db = fresh();
  const q = db.queue("mail");
  q.enqueue({ to: "alice" });
  q.enqueue({ to: 1 });
  const got = [];
  const parse = async (payload) => {
    if (typeof payload.to !== "string") throw new TypeError("to must be a string");
    return payload.to.toUpperCase();
  };
  const isOver = ({ pending, claimed, dead }) => dead === 1 && pending + claimed === 0;
  await during(
    db.worker("mail", (job) => got.push(job.payload), { ...silent, parse }),
    () => isOver(q.stats()),
  );
  assert.deepEqual(got, ["ALICE"]);
  assert.match(q.dead()[0].lastError, /the payload is refused: to must be a string/);
});

test("a delay that cannot be is refused where it is written", () => {
  assert.throws(() => new Snooze(0.5), { name: "RangeError", code: "HONKER_INVALID" });
  assert.throws(() => new Snooze(-1), RangeError);
  assert.throws(() => new Retry("later", { delayS: "60" }), TypeError);
  assert.equal(new Retry("later", { delayS: 60 }).delayS, 60);
});

test("many workers of a process hear a signal, and Node has nothing to warn of", async () => {
  const program = child(
    // What honker itself warns of is of the machine: that it has no more inotify instances, for one.
    `process.on("warning", ({ name }) => name !== "HonkerWarning" && console.log(name));
     const db = honker.open(path);
     const workers = Array.from({ length: 20 }, () => db.worker("q", () => {}, { logger: null }));
     const all = Promise.all(workers.map((worker) => worker.run()));
     console.log("ready");
     await all;
     console.log(process.listenerCount("SIGTERM"));`,
    freshPath(),
  );
  assert.equal(await program.line(), "ready");
  program.kill("SIGTERM");
  assert.equal(await program.line(), "0");
  assert.equal(await program.exit, 0);
});
