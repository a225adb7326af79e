const assert = require("node:assert/strict");
const { test } = require("node:test");
const { RawText, Tasks } = require("../dist/index.js");
const { fresh, until } = require("./helper.js");

test("a worker calls the function that a job names; what it does not know is dead, with the reason", async () => {
  const db = fresh();
  const q = db.queue("mail");
  const calls = [];
  const tasks = new Tasks({
    sendEmail: (job, to, options) => calls.push([job.id, to, options]),
    toString: (_job) => calls.push("mine"),
  });
  const ids = [
    q.enqueue(tasks.payload("sendEmail", "alice", { copies: 2 })),
    // As programs in other languages name arguments.
    q.enqueue(new RawText('{"__honker_task__":{"task":"sendEmail","args":["bob"],"kwargs":{"copies":3}}}')),
  ];
  q.enqueue(tasks.payload("toString"));
  q.enqueue(new RawText('{"__honker_task__":{"task":"hasOwnProperty","args":[],"kwargs":{}}}'));
  q.enqueue({ to: "carol" });
  q.enqueue(null);
  q.enqueue(new RawText('{"__honker_task__":{"task":"sendEmail","args":"bob"}}'));
  const worker = db.worker("mail", tasks.handler, { logger: null });
  const running = worker.run({ signals: false });
  await until(() => q.dead().length === 4 && calls.length === 3);
  await worker.stop();
  await running;
  assert.deepEqual(calls, [[ids[0], "alice", { copies: 2 }], [ids[1], "bob", { copies: 3 }], "mine"]);
  const reasons = q.dead().map((job) => job.lastError.split("\n")[0]);
  assert.deepEqual(reasons.sort(), [
    "Discard: raw (non-task) payload in a queue of tasks",
    "Discard: raw (non-task) payload in a queue of tasks",
    "Discard: task sendEmail: args must be an array, and kwargs an object",
    "Discard: unknown task: hasOwnProperty. Registered tasks: [sendEmail, toString]",
  ]);
});

test("what is no task is refused before anything is enqueued", () => {
  const tasks = new Tasks({ sendEmail: () => {} });
  assert.throws(() => tasks.payload("sendMail"), /unknown task: sendMail. Registered tasks: \[sendEmail\]/);
  assert.throws(() => new Tasks({ sendEmail: "x" }), { name: "TypeError", code: "HONKER_INVALID" });
  assert.throws(() => new Tasks(null), TypeError);
});
