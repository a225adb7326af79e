const assert = require("node:assert/strict");
const { fork } = require("node:child_process");
const { test } = require("node:test");
const { Worker } = require("node:worker_threads");
const { buildInfo } = require("../dist/index.js");
const { child, fresh, freshPath, soon, until } = require("./helper.js");

const library = JSON.stringify(require.resolve("../dist/index.js"));

/** A worker thread: its messages by `next()`, its end by `exit`. */
function thread(source, path, options) {
  const worker = new Worker(
    `const { parentPort, workerData: path } = require("node:worker_threads"); const honker = require(${library});
     const say = (message) => parentPort.postMessage(message);
     (async () => { ${source} })();`,
    { eval: true, workerData: path, ...options },
  );
  const messages = [];
  worker.on("message", (message) => messages.push(message));
  const exit = new Promise((resolve, reject) => {
    worker.on("exit", resolve);
    worker.on("error", reject);
  });
  exit.catch(() => {});
  return { worker, exit, next: async () => (await until(() => messages.length > 0 && [messages.shift()]))[0] };
}

test("each thread opens the file for itself", async () => {
  const db = fresh();
  const threads = Array.from({ length: 4 }, () =>
    thread(
      `const db = honker.open(path); const q = db.queue("q"); say("ready"); let n = 0;
       for await (const job of q.claim("w" + require("node:worker_threads").threadId)) {
         if (job.payload === "end") { job.ack(); break; }
         if (await job.ackAsync()) n++;
       }
       await db.closeAsync(); say(n);`,
      db.path,
    ),
  );
  for (const one of threads) assert.equal(await one.next(), "ready");
  const q = db.queue("q");
  for (let n = 0; n < 100; n++) await q.enqueueAsync(n);
  for (const _ of threads) q.enqueue("end", { priority: -1 });
  let done = 0;
  for (const one of threads) done += await one.next();
  for (const one of threads) assert.equal(await soon(one.exit), 0);
  assert.equal(done, 100);
});

test("a thread that is terminated, or ends with everything open, takes nothing down", async () => {
  const db = fresh();
  const ending = `const db = honker.open(path); const q = db.queue("q"); const jobs = q.claim("w"); jobs.next();
     const updates = db.updateEvents(); updates.next(); db.listen("c").next(); db.stream("s").subscribe("c").next();
     q.enqueueAsync({}, { delay: 100 }); db.worker("other", () => {}, { logger: null }).run();`;
  for (let i = 0; i < 5; i++) {
    const terminated = thread(`${ending} say("ready"); setInterval(() => {}, 1000);`, db.path);
    assert.equal(await terminated.next(), "ready");
    await terminated.worker.terminate();
    const exits = thread(`${ending} say("ready"); setImmediate(() => process.exit(0));`, db.path);
    assert.equal(await exits.next(), "ready");
    await soon(exits.exit);
  }
  const holder = child(
    `const db = honker.open(path); db.withTransaction((tx) => tx.execute("UPDATE _honker_schema SET version = 1"));
     const tx = db.transaction(); console.log("held"); await hear(); tx.rollback(); process.exit(0);`,
    db.path,
  );
  assert.equal(await holder.line(), "held");
  const opens = thread(`honker.openAsync(path, { busyTimeoutMs: 200 }).catch(() => {}); say("ready");`, db.path);
  assert.equal(await opens.next(), "ready");
  await opens.worker.terminate();
  holder.say("go on");
  assert.equal(await holder.exit, 0);
  assert.equal(db.queue("q").enqueue(1) > 0, true);
});

test("a program that exits in the middle of everything exits", async () => {
  for (const end of ["process.exit(3)", "process.reallyExit(3)"]) {
    const program = child(
      `const db = honker.open(path); db.queue("q").claim("w").next(); for (let i = 0; i < 50; i++) db.queue("q").enqueueAsync(i);
       db.worker("other", () => {}, { logger: null }).run(); setTimeout(() => ${end}, 5);`,
      freshPath(),
    );
    assert.equal(await soon(program.exit), 3);
  }
});

test("what belongs to a thread is neither cloned, nor transferred, nor sent", () => {
  const db = fresh();
  const q = db.queue("q");
  q.enqueue(1);
  const tx = db.transaction();
  const things = { db, q, tx, stream: db.stream("s"), scheduler: db.scheduler(), listener: db.listen("c"), jobs: db.jobs };
  const { port1 } = new MessageChannel();
  for (const [name, thing] of Object.entries(things)) {
    assert.throws(() => structuredClone(thing), { name: "DataCloneError" }, name);
    assert.throws(() => port1.postMessage(thing), { name: "DataCloneError" }, name);
    assert.throws(() => port1.postMessage(thing, [thing]), undefined, name);
    assert.throws(() => JSON.stringify(thing), /cannot be sent to another process/, name);
  }
  port1.close();
  tx.rollback();
  things.listener.close();
  const job = q.claimOne("w");
  assert.throws(() => structuredClone(job), { name: "DataCloneError" });
  assert.deepEqual(JSON.parse(JSON.stringify(job)).payload, 1, "a job may be logged");
  const copy = Object.create(Object.getPrototypeOf(job));
  assert.throws(() => copy.ack(), TypeError);
});

test("a forked process cannot be sent a database, and opens its own", async () => {
  const db = fresh();
  const program = `const honker = require(${library});
    process.on("message", ({ path }) => { honker.open(path).queue("q").enqueue("from the child"); process.disconnect(); });`;
  const forked = fork("-e", [program], { execArgv: [], stdio: "inherit" });
  assert.throws(() => forked.send({ db }), /cannot be sent to another process/);
  forked.send({ path: db.path });
  const job = await soon(db.queue("q").claim("w").next());
  assert.equal(job.value.payload, "from the child");
  job.value.ack();
});

test("a CommonJS program and an ES module share one registry", async () => {
  const esm = await import("../dist/index.mjs");
  const cjs = require("../dist/index.js");
  assert.deepEqual(
    Object.keys(esm)
      .filter((name) => name !== "default")
      .sort(),
    Object.keys(cjs).sort(),
  );
  assert.equal(esm.open, cjs.open);
  assert.equal(esm.HonkerError, cjs.HonkerError);
  assert.equal(typeof buildInfo().version, "string");
});

test("waiting costs no thread for each that waits", async () => {
  if (process.platform !== "linux") return;
  const program = child(
    `const threads = () => require("node:fs").readdirSync("/proc/self/task").length;
     const db = honker.open(path); const one = db.listen("c"); one.next(); await db.queue("q").enqueueAsync(1);
     const before = threads();
     const all = Array.from({ length: 200 }, () => { const l = db.listen("c"); return [l, l.next()]; });
     db.notify("c", 1); await Promise.all(all.map(([, next]) => next));
     console.log(threads() - before); process.exit(0);`,
    freshPath(),
  );
  assert.equal(await program.line(), "0");
});
