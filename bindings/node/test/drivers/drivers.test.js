// Enqueueing in the transactions of other drivers: committed, the job is there, for a worker in another process; rolled back, it
// is not. Meanwhile this package has the same file open in the same process. The drivers are those of `scripts/setup drivers`;
// one that is not installed, or not for this Node, is named and skipped.
const assert = require("node:assert/strict");
const { execFileSync } = require("node:child_process");
const fs = require("node:fs");
const path = require("node:path");
const { createRequire } = require("node:module");
const { after, test } = require("node:test");
const { ackSql, enqueueSql, enqueueWithSql, open, schemaSql } = require("../../dist/index.js");
const { child, fresh, freshPath } = require("../helper.js");

const modules = path.join(__dirname, "../../../../target/node/drivers");
const driver = createRequire(path.join(modules, "package.json"));
const node = Number(process.versions.node.split(".")[0]);

/** The version of better-sqlite3 for this Node. */
const betterSqlite3 = node >= 22 ? "better-sqlite3-13" : "better-sqlite3";

function isThere(what) {
  try {
    return driver.resolve(what);
  } catch {
    console.log(`SKIPPED ${what}: it is not installed (scripts/setup drivers)`);
  }
}

/**
 * `open` answers how to write an order with its job in one transaction of the driver's, which fails at its end if it is told to.
 */
function drives(name, needs, open) {
  test(name, async (t) => {
    for (const [what, least, most] of needs) {
      if (node < (least ?? 0) || node > (most ?? 99)) return t.skip(`${what} is not for Node ${node}`);
      if (!isThere(what)) return t.skip();
    }
    const db = fresh();
    db.withTransaction((tx) => tx.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY, total INTEGER NOT NULL)"));
    const worker = child(
      `await honker.open(path).worker("emails", (job) => console.log(JSON.stringify(job.payload)), { logger: null }).run();`,
      db.path,
    );
    const { place, close } = await open(db.path);
    await assert.rejects(async () => place(1, true), /rolled back/);
    await place(2, false);
    assert.equal(await worker.line(), '{"order":2}');
    db.queue("emails").enqueue("of this package");
    assert.equal(await worker.line(), '"of this package"');
    const tx = await db.transactionAsync(); // the driver waits for it, or is told that the file is locked
    tx.execute("INSERT INTO orders VALUES (3, 3)");
    tx.commit();
    await place(4, false);
    assert.equal(await worker.line(), '{"order":4}');
    await close();
    worker.kill("SIGTERM");
    assert.equal(await worker.exit, 0);
    assert.deepEqual(
      db.query("SELECT id FROM orders ORDER BY id").map((row) => row.id),
      [2, 3, 4],
    );
    const { pending, claimed, delayed, dead } = db.queue("emails").stats();
    assert.deepEqual([pending, claimed, delayed, dead], [0, 0, 0, 0]);
  });
}

function ends(fails) {
  if (fails) throw new Error("rolled back");
}

drives("better-sqlite3", [[betterSqlite3]], (file) => {
  const yours = new (driver(betterSqlite3))(file);
  const place = yours.transaction((id, fails) => {
    yours.prepare("INSERT INTO orders (id, total) VALUES (?, ?)").run(id, 9900);
    const { sql, params } = enqueueSql("emails", { order: id });
    assert.equal(typeof yours.prepare(sql).get(...params).id, "number");
    ends(fails);
  });
  return { place: place.immediate, close: () => yours.close() };
});

drives("node:sqlite", [["node:sqlite", 22]], (file) => {
  const { DatabaseSync } = require("node:sqlite");
  const yours = new DatabaseSync(file);
  yours.exec("PRAGMA busy_timeout = 5000");
  const place = (id, fails) => {
    yours.exec("BEGIN IMMEDIATE");
    try {
      yours.prepare("INSERT INTO orders (id, total) VALUES (?, ?)").run(id, 9900);
      const { sql, params } = enqueueSql("emails", { order: id });
      yours.prepare(sql).get(...params);
      ends(fails);
      yours.exec("COMMIT");
    } catch (error) {
      yours.exec("ROLLBACK");
      throw error;
    }
  };
  return { place, close: () => yours.close() };
});

drives("Drizzle", [[betterSqlite3], ["drizzle-orm"]], (file) => {
  const { drizzle } = driver("drizzle-orm/better-sqlite3");
  const { integer, sqliteTable } = driver("drizzle-orm/sqlite-core");
  const orders = sqliteTable("orders", { id: integer("id").primaryKey(), total: integer("total").notNull() });
  const client = new (driver(betterSqlite3))(file);
  const yours = drizzle({ client });
  const place = (id, fails) =>
    yours.transaction(
      (tx) => {
        tx.insert(orders).values({ id, total: 9900 }).run();
        const { sql, params } = enqueueSql("emails", { order: id });
        yours.$client.prepare(sql).get(...params); // the same connection, so the same transaction
        ends(fails);
      },
      { behavior: "immediate" },
    );
  return { place, close: () => client.close() };
});

drives(
  "Kysely",
  [
    [betterSqlite3, 22],
    ["kysely", 22],
  ],
  async (file) => {
    const { CompiledQuery, Kysely, SqliteDialect } = driver("kysely");
    const database = new (driver(betterSqlite3))(file);
    const yours = new Kysely({ dialect: new SqliteDialect({ database }) });
    const place = (id, fails) =>
      yours.transaction().execute(async (tx) => {
        await tx.insertInto("orders").values({ id, total: 9900 }).execute();
        const { sql, params } = enqueueSql("emails", { order: id });
        await tx.executeQuery(CompiledQuery.raw(sql, params));
        ends(fails);
      });
    return { place, close: () => yours.destroy() };
  },
);

drives("TypeORM", [["better-sqlite3", 20, 20], ["typeorm"]], async (file) => {
  const { DataSource, EntitySchema } = driver("typeorm");
  const Order = new EntitySchema({
    name: "Order",
    tableName: "orders",
    columns: { id: { type: "integer", primary: true }, total: { type: "integer" } },
  });
  const yours = new DataSource({
    type: "better-sqlite3",
    database: file,
    driver: driver("better-sqlite3"),
    entities: [Order],
  });
  await yours.initialize();
  const place = (id, fails) =>
    yours.transaction(async (manager) => {
      await manager.insert("Order", { id, total: 9900 });
      const { sql, params } = enqueueSql("emails", { order: id });
      await manager.query(sql, params);
      ends(fails);
    });
  return { place, close: () => yours.destroy() };
});

const prisma = [
  ["better-sqlite3", 20, 20],
  ["@prisma/adapter-better-sqlite3"],
  ["prisma/build/index.js"],
  ["@prisma/client"],
];
drives("Prisma, by its adapter of better-sqlite3", prisma, async (file) => {
  // Beside the packages, where the generated client finds them.
  const directory = path.join(modules, `prisma-${process.pid}`);
  fs.mkdirSync(directory);
  fs.writeFileSync(
    path.join(directory, "schema.prisma"),
    `generator client { 
      provider = "prisma-client-js"
      output = "./client"
      engineType = "client"
    }
    datasource db { 
      provider = "sqlite"
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
  const { PrismaBetterSqlite3 } = driver("@prisma/adapter-better-sqlite3");
  const yours = new PrismaClient({ adapter: new PrismaBetterSqlite3({ url: `file:${file}` }) });
  const place = (id, fails) =>
    yours.$transaction(async (tx) => {
      await tx.order.create({ data: { id, total: 9900 } });
      const { sql, params } = enqueueSql("emails", { order: id });
      await tx.$queryRawUnsafe(sql, ...params);
      ends(fails);
    });
  return { place, close: () => yours.$disconnect() };
});

test("a job is acknowledged in the transaction of a driver, by its own claim", (t) => {
  if (!isThere(betterSqlite3)) return t.skip();
  const db = fresh();
  const q = db.queue("q");
  const id = q.enqueue(1);
  const yours = new (driver(betterSqlite3))(db.path);
  const ack = (job) => {
    const { sql, params } = ackSql(job);
    return yours.prepare(sql).get(...params);
  };
  const late = q.claimOne("w");
  late.retry(0);
  const job = q.claimOne("w");
  assert.equal(ack(late), undefined, "the same worker has claimed it again");
  assert.throws(() => yours.transaction(() => assert.fail(`${ack(job).id}`))());
  assert.equal(q.getJob(id).state, "processing", "rolled back");
  assert.deepEqual(ack(job), { id });
  assert.equal(q.getJob(id), null);
  assert.equal(ack(job), undefined);
  assert.throws(() => ackSql({ id, workerId: "w" }), /attempts must be a whole number/);
  yours.close();
});

test("a connection that has loaded the extension enqueues with all options", (t) => {
  const { HONKER_EXTENSION_PATH } = process.env;
  if (!isThere(betterSqlite3) || !HONKER_EXTENSION_PATH) return t.skip();
  const db = fresh();
  const yours = new (driver(betterSqlite3))(db.path);
  yours.loadExtension(HONKER_EXTENSION_PATH);
  const enqueue = (n) => {
    const { sql, params } = enqueueWithSql("q", { n }, { uniqueKey: "k", metadata: { tenant: "acme" } });
    return JSON.parse(yours.prepare(sql).get(...params).enqueued);
  };
  assert.throws(() => yours.transaction(() => assert.fail(enqueue(1).status))(), /enqueued/);
  const first = enqueue(2);
  assert.deepEqual([first.status, enqueue(3)], ["enqueued", { id: first.id, status: "exists" }]);
  const job = db.queue("q").claimOne("w");
  assert.deepEqual([job.payload, job.metadata], [{ n: 2 }, { tenant: "acme" }]);
  yours.close();
});

test("an application's migrations may make honker's tables, in memory as well", (t) => {
  if (!isThere(betterSqlite3)) return t.skip();
  const path = freshPath();
  for (const file of [":memory:", path]) {
    const yours = new (driver(betterSqlite3))(file);
    for (let i = 0; i < 2; i++) yours.transaction(() => yours.exec(schemaSql()))();
    const { sql, params } = enqueueSql("emails", { to: "alice" });
    assert.deepEqual(yours.prepare(sql).get(...params), { id: 1 });
    yours.close();
  }
  const db = open(path);
  assert.deepEqual(db.queue("emails").claimOne("w").payload, { to: "alice" });
  const made = fresh();
  const tables = "SELECT type, name, sql FROM sqlite_schema WHERE name LIKE '!_honker%' ESCAPE '!' ORDER BY type, name";
  const plain = (rows) =>
    rows.map(({ type, name, sql }) => [type, name, sql?.replace(/IF NOT EXISTS /, "").replace(/\s+/g, " ")]);
  assert.deepEqual(plain(db.query(tables)), plain(made.query(tables)));
  assert.deepEqual(db.query("SELECT * FROM _honker_schema"), made.query("SELECT * FROM _honker_schema"));
  db.close();
});

/** What a tool changes of the application's tables; a job that was enqueued before is there. */
function changesSchema(name, needs, change) {
  test(`${name} changes a schema, and a job stays`, async (t) => {
    if (node > 20) return t.skip(`its driver is not for Node ${node}`);
    if (!needs.every(isThere)) return t.skip();
    const path = freshPath();
    const db = open(path);
    db.withTransaction((tx) => tx.execute("CREATE TABLE orders (id integer PRIMARY KEY NOT NULL, total integer NOT NULL)"));
    const id = db.queue("emails").enqueue("kept");
    db.close();
    await change(path);
    const after_ = open(path);
    assert.equal(after_.query("SELECT count(*) AS n FROM pragma_table_info('orders') WHERE name = 'note'")[0].n, 1);
    const job = after_.queue("emails").claimOne("w");
    assert.deepEqual([job.id, job.payload], [id, "kept"]);
    after_.close();
  });
}

const adapters = path.join(modules, "../adapters/node_modules");
const kit = path.join(adapters, "drizzle-kit/bin.cjs");
changesSchema("drizzle-kit", ["better-sqlite3", "drizzle-orm", kit], (file) => {
  for (const name of ["better-sqlite3", "drizzle-orm"]) {
    const link = path.join(adapters, name); // where drizzle-kit finds it
    if (!fs.existsSync(link)) fs.symlinkSync(path.join(modules, "node_modules", name), link, "junction");
  }
  const directory = path.join(modules, `drizzle-${process.pid}`);
  fs.mkdirSync(directory);
  after(() => fs.rmSync(directory, { recursive: true, force: true }));
  fs.writeFileSync(
    path.join(directory, "schema.js"),
    `const { integer, sqliteTable, text } = require("drizzle-orm/sqlite-core");
    exports.orders = sqliteTable("orders", { id: integer("id").primaryKey(), total: integer("total").notNull(), note: text("note") });`,
  );
  const config = {
    dialect: "sqlite",
    schema: "./schema.js",
    dbCredentials: { url: file },
    tablesFilter: ["!_honker_*"],
  };
  fs.writeFileSync(path.join(directory, "drizzle.config.json"), JSON.stringify(config));
  execFileSync(process.execPath, [kit, "push", "--force", "--config", "drizzle.config.json"], {
    cwd: directory,
    stdio: "pipe",
  });
});

changesSchema("TypeORM", ["better-sqlite3", "typeorm"], async (file) => {
  const { DataSource, EntitySchema } = driver("typeorm");
  const columns = {
    id: { type: "integer", primary: true },
    total: { type: "integer" },
    note: { type: "text", nullable: true },
  };
  const yours = new DataSource({
    type: "better-sqlite3",
    database: file,
    driver: driver("better-sqlite3"),
    entities: [new EntitySchema({ name: "Order", tableName: "orders", columns })],
    synchronize: true,
  });
  await yours.initialize();
  await yours.destroy();
});

test("a file without honker's tables is an error that says so", (t) => {
  if (!isThere(betterSqlite3)) return t.skip();
  const yours = new (driver(betterSqlite3))(freshPath());
  const { sql, params } = enqueueSql("emails", 1);
  assert.throws(() => yours.prepare(sql).get(...params), /no such table: _honker_live/);
  yours.close();
});
