// What this package says otherwise than the one for Node, whose tests tests/run has run with Bun as well.

import { Database as SQLite } from "bun:sqlite";
import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  type Database,
  enqueueSql,
  HonkerError,
  LoadError,
  type OpenOptions,
  open,
  openAsync,
  schemaSql,
} from "../dist/bun/src/index.js";

const directory = mkdtempSync(join(tmpdir(), "honker-bun-"));
const opened: Database[] = [];
let files = 0;
const freshPath = (): string => join(directory, `test-${++files}.db`);
function fresh(options?: OpenOptions): Database {
  const db = open(freshPath(), options);
  opened.push(db);
  return db;
}
afterAll(() => {
  for (const db of opened) db.close();
  rmSync(directory, { recursive: true, force: true });
});

const late = 60_000;
const index = require.resolve("../dist/bun/src/index.js");

/** Another process of this Bun, with `honker` and `path` at hand; the lines that it prints. */
function child(source: string, path: string) {
  const program = `const honker = require(${JSON.stringify(index)}); const path = ${JSON.stringify(path)};
    (async () => { ${source} })().catch((error) => { console.error(error); process.exit(70); });`;
  const started = Bun.spawn([process.execPath, "--no-install", "-e", program], {
    stdout: "pipe",
    stderr: "inherit",
    stdin: "ignore",
  });
  const reader = started.stdout.getReader();
  let text = "";
  return {
    exited: started.exited,
    kill: (signal: NodeJS.Signals) => started.kill(signal),
    async line(): Promise<string> {
      while (!text.includes("\n")) {
        const { done, value } = await reader.read();
        if (done) throw new Error(`it has ended: ${text}`);
        text += new TextDecoder().decode(value);
      }
      const at = text.indexOf("\n");
      const line = text.slice(0, at);
      text = text.slice(at + 1);
      return line;
    },
  };
}

test("open takes libhonker as its second argument, or the options", () => {
  const db = open(freshPath(), process.env.HONKER_LIBRARY, { watcherBackend: "polling", watcherPollIntervalMs: 5 });
  opened.push(db);
  expect(db.queue("q").enqueue(1)).toBe(1);
  expect(fresh({ sqliteLibPath: "/nowhere/libsqlite3.so" }).closed).toBe(false);
  expect(() => open(freshPath(), "/nowhere/libhonker.so")).toThrow(LoadError);
  expect(() => open(freshPath(), { watcherPollIntervalMs: 0 })).toThrow("watcherPollIntervalMs must be positive");
  expect(() => open(freshPath(), { watcherBackend: "KERNEL" })).toThrow("unknown watcher backend");
  expect(() => open(freshPath(), 7 as never)).toThrow(TypeError);
  expect(() => open(freshPath(), { unknown: 1 } as never)).toThrow(TypeError);
});

test("openAsync takes what open takes", async () => {
  const path = freshPath();
  for (const db of [await openAsync(path, process.env.HONKER_LIBRARY, { sqliteLibPath: null }), await openAsync(path)]) {
    expect(db.transaction().query("SELECT 1 AS one")).toEqual({ one: 1 });
    await db.closeAsync();
  }
  await expect(openAsync(path, 7 as never)).rejects.toThrow(TypeError);
  await expect(openAsync("/nonexistent/app.db")).rejects.toThrow(HonkerError);
});

test("bun:sqlite may make honker's tables, in memory as well", () => {
  const yours = new SQLite(":memory:");
  for (let i = 0; i < 2; i++) yours.run(schemaSql());
  const { sql, params } = enqueueSql("q", { id: 1 });
  expect(yours.query(sql).get(...params)).toEqual({ id: 1 });
  yours.close();
});

test("a query of a transaction answers one row; commit and rollback are idempotent", async () => {
  const db = fresh();
  const q = db.queue("q");
  const tx = db.transaction();
  tx.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY, total INTEGER)");
  tx.execute("INSERT INTO orders (id, total) VALUES (?, ?), (?, ?)", [42, 99, 43, 100]);
  expect(tx.query<{ total: number }>("SELECT total FROM orders ORDER BY id")).toEqual({ total: 99 });
  expect(await tx.queryAsync("SELECT total FROM orders WHERE id = ?", [43])).toEqual({ total: 100 });
  expect(tx.query("SELECT total FROM orders WHERE id = 7")).toBeNull();
  expect(tx.queryAll("SELECT id FROM orders ORDER BY id")).toEqual([{ id: 42 }, { id: 43 }]);
  expect(await tx.queryAllAsync("SELECT id FROM orders WHERE id = 7")).toEqual([]);
  q.enqueue({ to: "alice@example.com" }, { tx });
  expect(tx.done).toBe(false);
  tx.commit();
  tx.commit();
  tx.rollback();
  expect(tx.done).toBe(true);
  expect(() => tx.query("SELECT 1")).toThrow("transaction already finished");
  expect(db.query("SELECT id FROM orders ORDER BY id")).toEqual([{ id: 42 }, { id: 43 }]);
  expect(q.claimOne("w")?.payload).toEqual({ to: "alice@example.com" });
  const other = db.transaction();
  q.enqueue(1, { tx: other });
  other.rollback();
  expect(other.done).toBe(true);
  expect(q.claimOne("w")).toBeNull();
});

test("a notification is sent in a transaction, and says when", async () => {
  const db = fresh();
  const stop = new AbortController();
  const listener = db.listen<{ id: number }>("orders", { signal: stop.signal, pollMs: 5 });
  const tx = db.transaction();
  db.notify("orders", { id: 1 }, { tx });
  tx.rollback();
  const id = db.notify("orders", { id: 2 });
  const { value } = await listener.next();
  expect(value?.payload).toEqual({ id: 2 });
  expect(value?.id).toBe(id);
  expect(Math.abs((value?.created_at ?? 0) - Date.now() / 1000)).toBeLessThan(late / 1000);
  stop.abort();
  expect((await listener.next()).done).toBe(true);
  expect(() => db.notify("orders", 1, { transaction: tx } as never)).toThrow(TypeError);
  expect(() => db.listen("orders", { pollMs: 0 })).toThrow("pollMs must be positive");
});

test("events of a stream say when; subscriptions take the options that they had", async () => {
  const db = fresh();
  const stream = db.stream<number>("topic");
  const tx = db.transaction();
  stream.publishTx(tx, 1, "key");
  tx.commit();
  stream.publish(2);
  expect(stream.readSince(0)[0]?.created_at).toBeNumber();
  expect((await stream.readSinceAsync(0))[1]?.created_at).toBeNumber();
  expect(stream.readFromConsumer("c").length).toBe(2);
  const stop = new AbortController();
  const seen: unknown[] = [];
  const options = { saveEveryN: 1, saveEveryS: 1, idlePollS: null, pollMs: 5, signal: stop.signal };
  for await (const event of stream.subscribe("c", options)) {
    seen.push([event.payload, event.key, typeof event.created_at]);
    if (seen.length === 2) break;
  }
  expect(seen).toEqual([
    [1, "key", "number"],
    [2, null, "number"],
  ]);
  expect(() => stream.subscribe("c", { idlePollS: -1 })).toThrow(RangeError);
});

test("a waker tries without waiting, and waits without holding the event loop", async () => {
  const db = fresh();
  const q = db.queue<number>("q");
  const waker = q.claimWaker({ idlePollS: null, pollMs: 5 });
  expect(waker.tryNext("w")).toBeNull();
  q.enqueue(1);
  expect(waker.tryNext("w")?.payload).toBe(1);
  const next = waker.next("w");
  let ticks = 0;
  while (ticks < 3) {
    await new Promise((resolve) => setTimeout(resolve, 1));
    ticks++;
  }
  const program = child(`honker.open(path).queue("q").enqueue(2); console.log("there");`, db.path);
  expect(await program.line()).toBe("there");
  expect((await next)?.payload).toBe(2);
  const stop = new AbortController();
  const aborted = waker.next("w", { signal: stop.signal });
  stop.abort();
  expect(await aborted).toBeNull();
  waker.close();
  expect(waker.tryNext("w")).toBeNull();
  expect(await waker.next("w")).toBeNull();
  q.enqueue(3, { delay: 100 });
  expect(q.nextClaimAt()).toBeGreaterThan(Date.now() / 1000);
});

test("jobs, locks and schedules have the forms of Bun's", async () => {
  const db = fresh();
  const q = db.queue("q");
  q.enqueue(1, { maxAttempts: 2 });
  const job = q.claimOne("w");
  expect(job?.heartbeat(60)).toBe(true);
  expect(job?.retry(0, "not yet")).toBe(true);
  expect(q.claimOne("w")?.fail("never")).toBe(true);
  expect(q.dead()[0]?.lastError).toBe("never");

  const lock = db.tryLock("backup", "me", 60);
  expect(db.tryLock("backup", "you", 60)).toBeNull();
  expect([lock?.released, lock?.release(), lock?.released, lock?.release()]).toEqual([false, true, true, false]);

  const scheduler = db.scheduler();
  scheduler.add({ name: "each second", queue: "ticks", schedule: "@every 1s", payload: { n: 1 } });
  const stop = new AbortController();
  const running = scheduler.run({ owner: "me", signal: stop.signal });
  const waker = db.queue("ticks").claimWaker();
  expect((await waker.next("w"))?.payload).toEqual({ n: 1 });
  stop.abort();
  await running;
  waker.close();
  expect(scheduler.run({ owner: 1 } as never)).rejects.toThrow(TypeError);
  expect(scheduler.run({ owner: "me", other: 1 } as never)).rejects.toThrow(TypeError);
});

test("a job of bun:sqlite is there when its transaction is committed, and is not when it is rolled back", async () => {
  const db = fresh();
  const worker = child(
    `await honker.open(path).worker("q", (job) => console.log(JSON.stringify(job.payload)), { logger: null }).run();`,
    db.path,
  );
  const yours = new SQLite(db.path);
  yours.run("PRAGMA busy_timeout = 60000"); // the worker writes as well
  yours.run("CREATE TABLE orders (id INTEGER)");
  const place = yours.transaction((id: number, fails: boolean) => {
    yours.run("INSERT INTO orders (id) VALUES (?)", [id]);
    const { sql, params } = enqueueSql("q", { id });
    yours.query(sql).get(...params);
    if (fails) throw new Error("rolled back");
  });
  expect(() => place.immediate(1, true)).toThrow("rolled back");
  place.immediate(2, false);
  expect(await worker.line()).toBe('{"id":2}');
  db.queue("q").enqueue("of the package"); // beside the driver, in this process
  expect(await worker.line()).toBe('"of the package"');
  place.immediate(3, false);
  expect(await worker.line()).toBe('{"id":3}');
  worker.kill("SIGTERM");
  expect(await worker.exited).toBe(0);
  expect(yours.query("SELECT id FROM orders").all()).toEqual([{ id: 2 }, { id: 3 }]);
  expect(db.queue("q").stats()).toMatchObject({ pending: 0, claimed: 0, dead: 0 });
  yours.close();
});

test("what waits keeps the program running, an open database does not", async () => {
  const idle = child(`honker.open(path); console.log("open");`, freshPath());
  expect(await idle.line()).toBe("open");
  expect(await idle.exited).toBe(0);
  const db = fresh();
  const waits = child(
    `const db = honker.open(path); const waker = db.queue("q").claimWaker({ idlePollS: null });
     console.log("waits"); console.log((await waker.next("w")).payload); waker.close();`,
    db.path,
  );
  expect(await waits.line()).toBe("waits");
  db.queue("q").enqueue("came");
  expect(await waits.line()).toBe("came");
  expect(await waits.exited).toBe(0);
});

test("tasks of MCP are kept in the file", async () => {
  const { HonkerTaskMessageQueue, HonkerTaskStore } = require("../dist/node/src/mcp.js");
  const db = fresh();
  const store = new HonkerTaskStore(db);
  const { taskId } = await store.createTask({ ttl: null }, 1, { method: "tools/call" });
  const id = await store.enqueue(taskId, db.queue("reports"), { taskId });
  await store.updateTaskStatus(taskId, "cancelled", "not any more");
  expect(await store.getTask(taskId)).toMatchObject({ status: "cancelled", statusMessage: "not any more" });
  expect(db.queue("reports").getJob(id)).toBeNull();
  const queue = new HonkerTaskMessageQueue(db);
  for (let n = 0; n < 3; n++) await queue.enqueue(taskId, { n });
  expect([await queue.dequeue(taskId), await queue.dequeueAll(taskId)]).toEqual([{ n: 0 }, [{ n: 1 }, { n: 2 }]]);
});

test("errors have codes", () => {
  const db = fresh();
  db.transaction();
  try {
    db.queue("q").enqueue(1);
    expect.unreachable();
  } catch (error) {
    expect(error).toBeInstanceOf(HonkerError);
    expect((error as HonkerError).code).toBe("HONKER_MISUSE");
  }
  db.close();
  expect(() => db.queue("q")).toThrow("Database is closed");
});
