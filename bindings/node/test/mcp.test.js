const assert = require("node:assert/strict");
const path = require("node:path");
const { createRequire } = require("node:module");
const { test } = require("node:test");
const { HonkerTaskMessageQueue, HonkerTaskStore } = require("../dist/mcp.js");
const { child, fresh, soon, until } = require("./helper.js");

const adapters = createRequire(path.join(__dirname, "../../../target/node/adapters/package.json"));
const mcp = JSON.stringify(require.resolve("../dist/mcp.js"));
const request = { method: "tools/call", params: { name: "report" } };

test("a task survives the process that created it, and is done once", async () => {
  const db = fresh();
  const store = new HonkerTaskStore(db);
  const other = child(
    `const { HonkerTaskStore } = require(${mcp}); const db = honker.open(path);
     const task = await new HonkerTaskStore(db).createTask({ ttl: null, pollInterval: 50 }, "r", { method: "tools/call" });
     console.log(JSON.stringify(task)); db.close();`,
    db.path,
  );
  const task = JSON.parse(await other.line());
  assert.equal(await other.exit, 0);
  assert.deepEqual(await store.getTask(task.taskId), task);
  assert.deepEqual([task.status, task.ttl, task.pollInterval, task.taskId.length], ["working", null, 50, 32]);
  await assert.rejects(store.getTaskResult(task.taskId), /has no result stored/);
  await store.updateTaskStatus(task.taskId, "input_required", "which year?");
  assert.equal((await store.getTask(task.taskId)).statusMessage, "which year?");
  await store.storeTaskResult(task.taskId, "completed", { content: [], n: 1 });
  assert.deepEqual(await store.getTaskResult(task.taskId), { content: [], n: 1 });
  const done = await store.getTask(task.taskId);
  assert.equal(done.status, "completed");
  assert.ok(done.lastUpdatedAt >= task.lastUpdatedAt);
  await assert.rejects(store.storeTaskResult(task.taskId, "failed", {}), /in terminal status 'completed'/);
  await assert.rejects(store.updateTaskStatus(task.taskId, "cancelled"), /from terminal status 'completed'/);
  await assert.rejects(store.updateTaskStatus("none", "cancelled"), /Task with ID none not found/);
  assert.equal(await store.getTask("none"), null);
});

test("a task of one session is not there for another", async () => {
  const store = new HonkerTaskStore(fresh());
  const mine = await store.createTask({}, 1, request, "mine");
  const shared = await store.createTask({}, 2, request);
  assert.equal(await store.getTask(mine.taskId, "other"), null);
  await assert.rejects(store.storeTaskResult(mine.taskId, "completed", {}, "other"), /not found/);
  await assert.rejects(store.updateTaskStatus(mine.taskId, "cancelled", undefined, "other"), /not found/);
  await assert.rejects(store.getTaskResult(mine.taskId, "other"), /not found/);
  const ids = async (session) => (await store.listTasks(undefined, session)).tasks.map((task) => task.taskId);
  assert.deepEqual(await ids("other"), [shared.taskId]);
  assert.deepEqual(await ids("mine"), [mine.taskId, shared.taskId]);
  assert.deepEqual(await ids(), [mine.taskId, shared.taskId]);
  await store.storeTaskResult(mine.taskId, "completed", { n: 1 }, "mine");
  assert.deepEqual(await store.getTaskResult(mine.taskId, "mine"), { n: 1 });
});

test("a task is gone when its ttl is over, with its messages", async () => {
  const db = fresh();
  const store = new HonkerTaskStore(db);
  const queue = new HonkerTaskMessageQueue(db);
  const long = await store.createTask({ ttl: 3_600_000 }, 1, request);
  const brief = await store.createTask({ ttl: 1 }, 2, request);
  await queue.enqueue(brief.taskId, { type: "notification" });
  await until(async () => (await store.getTask(brief.taskId)) === null);
  await assert.rejects(store.storeTaskResult(brief.taskId, "completed", {}), /not found/);
  assert.deepEqual(
    (await store.listTasks()).tasks.map((task) => task.taskId),
    [long.taskId],
  );
  await store.createTask({}, 3, request);
  assert.deepEqual(db.query("SELECT count(*) AS n FROM honker_mcp_tasks"), [{ n: 2 }]);
  assert.deepEqual(await queue.dequeueAll(brief.taskId), []);
});

test("a ttl is what clients may say: not whole, or 0, which is without end as in the SDK's own store", async () => {
  const db = fresh();
  const store = new HonkerTaskStore(db);
  const zero = await store.createTask({ ttl: 0 }, 1, request);
  const half = await store.createTask({ ttl: 3_600_000.5, pollInterval: 0.5 }, 2, request);
  assert.deepEqual([half.ttl, half.pollInterval], [3_600_001, 1]);
  await store.storeTaskResult(zero.taskId, "completed", { n: 1 });
  assert.equal((await store.getTask(zero.taskId)).status, "completed");
  assert.deepEqual(db.query("SELECT expires_ms IS NULL AS never FROM honker_mcp_tasks ORDER BY seq"), [
    { never: 1 },
    { never: 0 },
  ]);
  for (const ttl of [-1, Number.NaN, Number.POSITIVE_INFINITY, "60"]) {
    await assert.rejects(store.createTask({ ttl }, 3, request), { code: "HONKER_INVALID" });
  }
});

test("tasks are listed by pages", async () => {
  const store = new HonkerTaskStore(fresh());
  const ids = [];
  for (let i = 0; i < 101; i++) ids.push((await store.createTask({}, i, request)).taskId);
  const first = await store.listTasks();
  const second = await store.listTasks(first.nextCursor);
  assert.deepEqual([first.tasks.length, second.tasks.length, second.nextCursor], [100, 1, undefined]);
  assert.deepEqual(
    [...first.tasks, ...second.tasks].map((task) => task.taskId),
    ids,
  );
  await assert.rejects(store.listTasks("nonsense"), /Invalid cursor: nonsense/);
});

test("messages of a task come in order, each to one; no more than there may be", async () => {
  const db = fresh();
  const queue = new HonkerTaskMessageQueue(db);
  for (let n = 0; n < 10; n++) await queue.enqueue("task", { n });
  await queue.enqueue("other", { n: "other" });
  await assert.rejects(queue.enqueue("task", { n: 10 }, undefined, 10), /overflow/);
  assert.deepEqual(await queue.dequeue("task"), { n: 0 });
  const both = await Promise.all([queue.dequeue("task"), new HonkerTaskMessageQueue(db).dequeue("task", "session")]);
  assert.deepEqual(both.map((one) => one.n).sort(), [1, 2]);
  assert.deepEqual(
    (await queue.dequeueAll("task")).map((one) => one.n),
    [3, 4, 5, 6, 7, 8, 9],
  );
  assert.equal(await queue.dequeue("task"), undefined);
  assert.deepEqual(await queue.dequeue("other"), { n: "other" });
});

test("what cannot be is refused", async () => {
  const store = new HonkerTaskStore(fresh());
  const { taskId } = await store.createTask({}, 1, request);
  await assert.rejects(store.createTask({ ttl: "1" }, 1, request), TypeError);
  await assert.rejects(store.getTask(7), TypeError);
  await assert.rejects(store.updateTaskStatus(taskId, "asleep"), RangeError);
  await assert.rejects(new HonkerTaskMessageQueue(fresh()).enqueue(7, {}), TypeError);
});

/** An MCP server whose tool is a job, and its client. */
async function connected(db) {
  const { McpServer } = adapters("@modelcontextprotocol/sdk/server/mcp.js");
  const { Client } = adapters("@modelcontextprotocol/sdk/client/index.js");
  const { InMemoryTransport } = adapters("@modelcontextprotocol/sdk/inMemory.js");
  const taskStore = new HonkerTaskStore(db);
  const capabilities = { tools: {}, tasks: { list: {}, cancel: {}, requests: { tools: { call: {} } } } };
  const server = new McpServer(
    { name: "reports", version: "1" },
    { capabilities, taskStore, taskMessageQueue: new HonkerTaskMessageQueue(db) },
  );
  const { z } = adapters("zod");
  server.experimental.tasks.registerToolTask(
    "report",
    { inputSchema: { year: z.number() }, execution: { taskSupport: "required" } },
    {
      async createTask({ year }, extra) {
        const task = await extra.taskStore.createTask({ ttl: 3_600_000, pollInterval: 5 });
        await taskStore.enqueue(task.taskId, db.queue("reports"), { taskId: task.taskId, year });
        return { task };
      },
      getTask: (_, extra) => extra.taskStore.getTask(extra.taskId),
      getTaskResult: (_, extra) => extra.taskStore.getTaskResult(extra.taskId),
    },
  );
  const client = new Client({ name: "test", version: "1" });
  const [a, b] = InMemoryTransport.createLinkedPair();
  await Promise.all([server.connect(a), client.connect(b)]);
  const call = (year) =>
    client.experimental.tasks.callToolStream({ name: "report", arguments: { year } }, undefined, { task: {} });
  const close = async () => {
    await client.close();
    await server.close();
  };
  return { client, call, close };
}

function isThere(t) {
  try {
    return adapters.resolve("@modelcontextprotocol/sdk/server/mcp.js");
  } catch {
    console.log("SKIPPED @modelcontextprotocol/sdk: it is not installed (scripts/setup drivers)");
    t.skip();
  }
}

test("a tool of the official SDK is done by a worker in another process", async (t) => {
  if (!isThere(t)) return;
  const db = fresh();
  const { call, close } = await connected(db);
  const worker = child(
    `const { HonkerTaskStore } = require(${mcp}); const db = honker.open(path); const store = new HonkerTaskStore(db);
     await db.worker("reports", async ({ payload: { taskId, year } }) => {
       await store.storeTaskResult(taskId, "completed", { content: [{ type: "text", text: "of " + year }] });
     }, { logger: null }).run();`,
    db.path,
  );
  const seen = [];
  for await (const message of call(2026)) {
    seen.push(message.type);
    if (message.type === "error") throw message.error;
    if (message.type === "result") assert.deepEqual(message.result.content, [{ type: "text", text: "of 2026" }]);
  }
  assert.deepEqual([seen[0], seen.at(-1)], ["taskCreated", "result"]);
  worker.kill("SIGTERM");
  assert.equal(await worker.exit, 0);
  await close();
});

test("a client that cancels its task cancels the job, and who runs it is told", async (t) => {
  if (!isThere(t)) return;
  const db = fresh();
  const { client, call, close } = await connected(db);
  const stream = call(2025);
  const { task } = (await stream.next()).value;
  let told;
  const started = new Promise((resolve) => {
    const worker = db.worker(
      "reports",
      (job) =>
        new Promise((_, reject) => {
          told = new Promise((say) => {
            job.signal.addEventListener("abort", () => {
              say(job.signal.reason.reason);
              reject(job.signal.reason);
            });
          });
          resolve(worker);
        }),
      { logger: null },
    );
    worker.run({ signals: false });
  });
  const worker = await soon(started);
  assert.equal((await client.experimental.tasks.cancelTask(task.taskId)).status, "cancelled");
  assert.equal(await soon(told), "gone");
  await worker.stop();
  assert.equal((await client.experimental.tasks.listTasks()).tasks[0].status, "cancelled");
  assert.deepEqual(db.queue("reports").stats().dead, 0);
  await close();
});
