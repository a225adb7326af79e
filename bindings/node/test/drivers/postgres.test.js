// On Postgres: the package's calls with a URL in place of a file, and enqueueing in the transactions of the usual drivers, which
// are those of `scripts/setup drivers`; one that is not installed is named and skipped. HONKER_POSTGRES_URL is a server.
const assert = require("node:assert/strict");
const { execFileSync } = require("node:child_process");
const fs = require("node:fs");
const path = require("node:path");
const { createRequire } = require("node:module");
const { after, test } = require("node:test");
const honker = require("../../dist/index.js");
const { child, soon, until } = require("../helper.js");

const modules = path.join(__dirname, "../../../../target/node/drivers");
const driver = createRequire(path.join(modules, "package.json"));
const server = process.env.HONKER_POSTGRES_URL;
const isBun = process.versions.bun !== undefined;

const missing = (names) =>
  names.find((name) => {
    try {
      driver.resolve(name);
      return false;
    } catch {
      console.log(`SKIPPED ${name}: it is not installed (scripts/setup drivers)`);
      return true;
    }
  });

/** How node-postgres connects: it reads the folder of a socket from `host`, but only what it has parsed itself. */
function place(url) {
  const { pathname, searchParams, username, password, hostname, port } = new URL(url);
  const host = searchParams.get("host") ?? hostname;
  return {
    host,
    port: port ? Number(port) : 5432,
    user: searchParams.get("user") ?? username,
    password: password || undefined,
    database: pathname.slice(1),
  };
}

const postgresJs = () => driver("postgres").default ?? driver("postgres"); // for Bun it is a module

async function administer(sql) {
  const { Client } = driver("pg");
  const client = new Client(place(server));
  await client.connect();
  try {
    await client.query(sql);
  } finally {
    await client.end();
  }
}

let databases = 0;
/** `body` is given the URL of a new database, and it open. */
function onServer(name, needs, body) {
  test(name, async (t) => {
    if (!server) return t.skip("there is no Postgres server (HONKER_POSTGRES_URL)");
    if (missing(["pg", ...needs])) return t.skip();
    const database = `node_${process.pid}_${++databases}`;
    await administer(`CREATE DATABASE ${database}`);
    // The user may be called honker, and have that schema in the path.
    await administer(`ALTER DATABASE ${database} SET search_path = public`);
    const url = server.replace(/\/[^/?]*(?=\?|$)/, `/${database}`);
    const db = honker.open(`${url}&honker_migrate=on`);
    try {
      await body(url, db);
    } finally {
      db.close();
      await administer(`DROP DATABASE ${database} WITH (FORCE)`);
    }
  });
}

onServer("jobs, batches and transactions", [], async (_url, db) => {
  db.withTransaction((tx) => tx.execute("CREATE TABLE orders (id int PRIMARY KEY, note text)"));
  const q = db.queue("emails");
  const id = q.enqueue({ to: "alice" }, { priority: 7, metadata: { tenant: "acme" } });
  const job = q.claimOne("w");
  assert.deepEqual([job.id, job.payload, job.metadata], [id, { to: "alice" }, { tenant: "acme" }]);
  assert.equal(job.ack(), true);
  assert.equal(job.ack(), false);
  db.withTransaction((tx) => {
    tx.execute("INSERT INTO orders (id, note) VALUES (?, ?)", [1, "it's ? here"]);
    assert.throws(() => q.enqueueTx(tx, 1, { batch: 99 }), { name: "HonkerError" }); // the transaction goes on
    q.enqueueTx(tx, { order: 1 });
  });
  assert.throws(() =>
    db.withTransaction((tx) => {
      tx.execute("INSERT INTO orders (id) VALUES (?)", [2]);
      q.enqueueTx(tx, { order: 2 });
      throw new Error("rolled back");
    }),
  );
  assert.deepEqual(db.query("SELECT id, note FROM orders WHERE note LIKE ? || '%'", ["it"]), [
    { id: 1, note: "it's ? here" },
  ]);
  assert.deepEqual(q.claimOne("w").payload, { order: 1 });
  assert.equal(q.claimOne("w"), null);
  const taken = () => db.withTransaction((tx) => tx.execute("INSERT INTO orders (id) VALUES (1)"));
  assert.throws(taken, { code: "HONKER_CONSTRAINT" });
  const batch = await db.batch((batch) => void q.enqueue("member", { batch }), {
    onFinished: { queue: "after", payload: "all" },
  });
  const member = q.claimOne("w");
  member.ack();
  assert.equal(batch.get().finishedAt === null, false);
  assert.equal(db.queue("after").claimOne("w").payload, "all");
});

onServer("a locked row is waited for off the event loop", [], async (url, db) => {
  db.withTransaction((tx) => tx.execute("CREATE TABLE orders (id int PRIMARY KEY)"));
  const { Client } = driver("pg");
  const client = new Client(place(url));
  await client.connect();
  await client.query("BEGIN; INSERT INTO orders VALUES (1)");
  const waiting = db.withTransactionAsync((tx) => tx.executeAsync("INSERT INTO orders VALUES (1)"));
  await until(async () => (await client.query("SELECT 1 FROM pg_locks WHERE NOT granted")).rows.length > 0);
  await client.query("ROLLBACK");
  await waiting;
  assert.equal(db.query("SELECT count(*) AS n FROM orders")[0].n, 1);
  await client.end();
});

onServer("a worker", [], async (_url, db) => {
  const done = [];
  const worker = db.worker(
    "emails",
    (job) => {
      done.push(job.payload);
      if (job.payload === "again" && job.attempts === 1) throw new honker.Retry("not yet", { delayS: 0 });
    },
    { logger: null, concurrency: 4 },
  );
  const running = worker.run({ signals: false });
  db.queue("emails").enqueue("first");
  await until(() => done.length === 1);
  await db.queue("emails").enqueueAsync("again");
  await until(() => done.length === 3);
  await until(() => db.jobs.list({ queue: "emails" }).jobs.length === 0);
  await worker.stop();
  await running;
  assert.deepEqual(done, ["first", "again", "again"]);
});

onServer("streams, notifications, results, locks and schedules", [], async (_url, db) => {
  const listener = db.listen("news");
  const subscription = db.stream("orders").subscribe("c");
  const result = db.waitResult(7, { timeoutS: 60 });
  db.withTransaction((tx) => {
    tx.notify("news", { id: 42 });
    db.stream("orders").publishTx(tx, { n: 1 });
  });
  assert.deepEqual((await soon(listener.next())).value.payload, { id: 42 });
  assert.deepEqual((await soon(subscription.next())).value.payload, { n: 1 });
  db.saveResult(7, "value");
  assert.equal(await result, "value");
  const lock = db.tryLock("backup", "me", 60);
  assert.equal(db.tryLock("backup", "you", 60), null);
  lock.release();
  assert.deepEqual([db.tryRateLimit("api", 1, 60), db.tryRateLimit("api", 1, 60)], [true, false]);
  db.scheduler().add({ name: "poll", queue: "emails", schedule: "@every 60s", payload: "due" });
  const [{ at }] = db.query("SELECT next_fire_at AS at FROM honker._honker_scheduler_tasks");
  assert.deepEqual(
    db
      .scheduler()
      .tick(at)
      .map((fire) => fire.name),
    ["poll"],
  );
});

onServer("what is for files alone says so", [], async (_url, db) => {
  const { HonkerTaskStore } = require("../../dist/mcp.js");
  assert.throws(() => new HonkerTaskStore(db), { code: "HONKER_UNSUPPORTED" });
});

onServer("closing ends what waits", [], async (url) => {
  const db = honker.open(url);
  const waiting = db.queue("emails").claim("w").next();
  const listening = db.listen("c").next();
  await new Promise((resolve) => setTimeout(resolve, 50));
  await db.closeAsync();
  const ended = await soon(Promise.allSettled([waiting, listening]));
  for (const { status, value, reason } of ended) {
    assert.ok(status === "fulfilled" ? value.done : reason.code === "HONKER_CLOSED_HANDLE", String(reason));
  }
});

test("a server that is not there, and a database without the schema", async (t) => {
  const nowhere = path.join(modules, "no-such-folder");
  const check = (error) => {
    assert.deepEqual([error.code, error.status, error.transient], ["HONKER_CONNECTION", -33, true]);
    assert.ok(error instanceof honker.HonkerError && !error.message.includes("secret"));
    return true;
  };
  const url = `postgres://me:secret@/app?host=${encodeURIComponent(nowhere)}`;
  assert.throws(() => honker.open(url), check);
  await assert.rejects(honker.openAsync(url), check);
  if (!server) return t.skip("there is no Postgres server (HONKER_POSTGRES_URL)");
  assert.throws(() => honker.open(server), { code: "HONKER_CANNOT_OPEN", message: /honker migrate/ });
});

// --- Drivers. ---

/**
 * `open` answers how to write an order with its job in one transaction of the driver's, which fails at its end if it is told to, and
 * how what honker refuses comes to an application.
 */
function drives(name, needs, open) {
  onServer(name, needs, async (url, db) => {
    db.withTransaction((tx) => tx.execute("CREATE TABLE orders (id int PRIMARY KEY, total int NOT NULL)"));
    const worker = child(
      `await honker.open(path).worker("emails", (job) => console.log(JSON.stringify(job.payload)), { logger: null }).run();`,
      url,
    );
    const { place: order, refused, close } = await open(url);
    await assert.rejects(async () => order(1, true), /rolled back/);
    await order(2, false);
    assert.equal(await worker.line(), '{"order":2}');
    db.queue("emails").enqueue("of this package");
    assert.equal(await worker.line(), '"of this package"');
    await order(3, false);
    assert.equal(await worker.line(), '{"order":3}');
    await assert.rejects(refused, (error) => {
      const typed = honker.honkerErrorOf(error) ?? error;
      assert.ok(typed instanceof honker.HonkerError, String(error));
      assert.deepEqual([typed.code, typed.status], ["HONKER_INVALID", -23]);
      return /^delay\b/.test(typed.message);
    });
    await close();
    worker.kill("SIGTERM");
    assert.equal(await worker.exit, 0);
    const ids = db.query("SELECT id FROM orders ORDER BY id").map((row) => row.id);
    assert.deepEqual(ids, [2, 3]);
  });
}

/** Options that the server refuses, not this package. */
const far = { delay: 2n ** 63n - 1n };

function ends(fails) {
  if (fails) throw new Error("rolled back");
}

drives("node-postgres", [], async (url) => {
  const { Client } = driver("pg");
  const client = new Client(place(url));
  await client.connect();
  const order = async (id, fails) => {
    await client.query("BEGIN");
    try {
      await client.query("INSERT INTO orders (id, total) VALUES ($1, $2)", [id, 9900]);
      const { rows } = await client.query(honker.enqueuePgSql("emails", { order: id }, { delay: 0, maxAttempts: 2 }));
      assert.deepEqual(rows, [{ id: rows[0].id, status: "enqueued" }]);
      const once = { uniqueKey: `order ${id}`, delay: 3600, metadata: { tenant: "acme" } };
      const first = await honker.enqueueOn(client, "later", id, once);
      assert.equal(first.status, "enqueued");
      assert.deepEqual(await honker.enqueueOn(client, "later", id, once), { id: first.id, status: "exists" });
      ends(fails);
      await client.query("COMMIT");
    } catch (error) {
      await client.query("ROLLBACK");
      throw error;
    }
  };
  return { place: order, refused: () => honker.enqueueOn(client, "q", 1, far), close: () => client.end() };
});

drives("postgres.js", ["postgres"], (url) => {
  const { user: username, ...rest } = place(url);
  const sql = postgresJs()({ ...rest, username, onnotice: () => {} });
  const order = (id, fails) =>
    sql.begin(async (tx) => {
      await tx`INSERT INTO orders (id, total) VALUES (${id}, ${9900})`;
      await honker.enqueueOn(tx, "emails", { order: id });
      const [row] = await honker.enqueuePgSql("later", id, { delay: 3600, uniqueKey: `order ${id}` }).as(tx);
      assert.equal(row.status, "enqueued");
      ends(fails);
    });
  return { place: order, refused: () => honker.enqueueOn(sql, "q", 1, far), close: () => sql.end() };
});

drives("Drizzle", ["drizzle-orm"], (url) => {
  const { drizzle } = driver("drizzle-orm/node-postgres");
  const { sql } = driver("drizzle-orm");
  const { Pool } = driver("pg");
  const pool = new Pool(place(url));
  const yours = drizzle({ client: pool });
  const order = (id, fails) =>
    yours.transaction(async (tx) => {
      await tx.execute(sql`INSERT INTO orders (id, total) VALUES (${id}, 9900)`);
      await tx.execute(honker.enqueuePgSql("emails", { order: id }).as(sql));
      ends(fails);
    });
  const refused = () => yours.execute(honker.enqueuePgSql("q", 1, far).as(sql));
  return { place: order, refused, close: () => pool.end() };
});

if (!isBun && Number(process.versions.node.split(".")[0]) >= 22) {
  drives("Kysely", ["kysely"], (url) => {
    const { CompiledQuery, Kysely, PostgresDialect } = driver("kysely");
    const { Pool } = driver("pg");
    const yours = new Kysely({ dialect: new PostgresDialect({ pool: new Pool(place(url)) }) });
    const order = (id, fails) =>
      yours.transaction().execute(async (tx) => {
        await tx.insertInto("orders").values({ id, total: 9900 }).execute();
        const { sql, params } = honker.enqueuePgSql("emails", { order: id });
        await tx.executeQuery(CompiledQuery.raw(sql, params));
        ends(fails);
      });
    const { sql, params } = honker.enqueuePgSql("q", 1, far);
    const refused = () => yours.executeQuery(CompiledQuery.raw(sql, params));
    return { place: order, refused, close: () => yours.destroy() };
  });
}

if (!isBun) {
  drives("TypeORM", ["typeorm"], async (url) => {
    const { DataSource } = driver("typeorm");
    const { user: username, ...rest } = place(url);
    const yours = new DataSource({ type: "postgres", driver: driver("pg"), ...rest, username });
    await yours.initialize();
    const order = (id, fails) =>
      yours.transaction(async (manager) => {
        await manager.query("INSERT INTO orders (id, total) VALUES ($1, 9900)", [id]);
        await honker.enqueueOn(manager, "emails", { order: id });
        ends(fails);
      });
    const refused = () => honker.enqueueOn(yours.manager, "q", 1, far);
    return { place: order, refused, close: () => yours.destroy() };
  });

  drives(
    "Prisma, by its adapter of node-postgres",
    ["@prisma/adapter-pg", "prisma/build/index.js", "@prisma/client"],
    (url) => {
      // Beside the packages, where the generated client finds them.
      const directory = path.join(modules, `prisma-pg-${process.pid}`);
      fs.mkdirSync(directory);
      fs.writeFileSync(
        path.join(directory, "schema.prisma"),
        `generator client {
          provider = "prisma-client-js"
          output = "./client"
          engineType = "client"
        }
        datasource db {
          provider = "postgresql"
        }
        model Order {
          id Int @id
          total Int
          @@map("orders")
        }`,
      );
      after(() => fs.rmSync(directory, { recursive: true, force: true }));
      // Without the program that compares schemas, which would come from the network and is not needed here.
      execFileSync(process.execPath, [driver.resolve("prisma/build/index.js"), "generate", "--schema", "schema.prisma"], {
        cwd: directory,
        stdio: "pipe",
        env: { ...process.env, PRISMA_SCHEMA_ENGINE_BINARY: process.execPath, CHECKPOINT_DISABLE: "1" },
      });
      const { PrismaClient } = require(path.join(directory, "client"));
      const { PrismaPg } = driver("@prisma/adapter-pg");
      const yours = new PrismaClient({ adapter: new PrismaPg(place(url)) });
      const order = (id, fails) =>
        yours.$transaction(async (tx) => {
          await tx.order.create({ data: { id, total: 9900 } });
          await honker.enqueueOn(tx, "emails", { order: id });
          ends(fails);
        });
      return { place: order, refused: () => honker.enqueueOn(yours, "q", 1, far), close: () => yours.$disconnect() };
    },
  );
}

onServer("a job is acknowledged in the transaction of a driver, by its own claim", [], async (url, db) => {
  const { Client } = driver("pg");
  const client = new Client(place(url));
  await client.connect();
  const q = db.queue("q");
  const id = q.enqueue(1);
  const late = q.claimOne("w");
  late.retry(0);
  const job = q.claimOne("w");
  await client.query("BEGIN");
  assert.equal(await honker.ackOn(client, late), false, "the same worker has claimed it again");
  assert.equal(await honker.ackOn(client, job), true);
  await client.query("ROLLBACK");
  assert.equal(q.getJob(id).state, "processing", "rolled back");
  assert.deepEqual((await client.query(honker.ackPgSql(job))).rows.length, 1);
  assert.equal(q.getJob(id), null);
  assert.equal(await honker.ackOn(client, job), false);
  await client.end();
});

onServer("what honker refuses is a HonkerError, and anything else is the driver's", ["postgres"], async (url) => {
  const { Client } = driver("pg");
  const client = new Client(place(url));
  await client.connect();
  const { user: username, ...rest } = place(url);
  const sql = postgresJs()({ ...rest, username, onnotice: () => {} });
  for (const connection of [client, sql]) {
    await assert.rejects(honker.enqueueOn(connection, "emails", 1, far), (error) => {
      assert.ok(error instanceof honker.HonkerError);
      assert.deepEqual([error.code, error.status, error.cause.code], ["HONKER_INVALID", -23, "HK001"]);
      return /delay/.test(error.message);
    });
  }
  await client.query("BEGIN");
  await client.query("SELECT honker._move_begin('6d', 'postgres://db.example/app')");
  await assert.rejects(honker.enqueueOn(client, "emails", 1), { code: "HONKER_MOVED", status: -34 });
  await client.query("ROLLBACK");
  assert.throws(() => honker.enqueuePgSql("emails", 1, { dely: 1 }), TypeError);
  await assert.rejects(honker.enqueueOn({ query() {}, prepare() {} }, "emails", 1), /must be one to Postgres/);
  await client.query("DROP SCHEMA honker CASCADE");
  await assert.rejects(honker.enqueueOn(client, "emails", 1), { code: "3F000" });
  await client.end();
  await sql.end();
});

if (!isBun) {
  onServer("the example", [], async (url) => {
    // Where it finds the driver and this package.
    const directory = path.join(modules, `example-${process.pid}`);
    fs.mkdirSync(path.join(directory, "node_modules/@russellthehippo"), { recursive: true });
    after(() => fs.rmSync(directory, { recursive: true, force: true }));
    const link = path.join(directory, "node_modules/@russellthehippo/honker-node");
    fs.symlinkSync(path.join(__dirname, "../.."), link, "junction");
    fs.copyFileSync(path.join(__dirname, "../../examples/postgres.mjs"), path.join(directory, "postgres.mjs"));
    const output = execFileSync(process.execPath, ["--no-warnings", "postgres.mjs"], {
      cwd: directory,
      encoding: "utf8",
      env: { ...process.env, DATABASE_URL: url },
    });
    assert.equal(output, "order 42\n");
  });
}
