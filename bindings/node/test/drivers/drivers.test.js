// Enqueueing in the transactions of other drivers: committed, the job is there, for a worker in another process; rolled back, it
// is not. Meanwhile this package has the same file open in the same process. The drivers are those of `scripts/setup drivers`;
// one that is not installed, or not for this Node, is named and skipped.
const assert = require("node:assert/strict");
const { execFileSync } = require("node:child_process");
const fs = require("node:fs");
const path = require("node:path");
const { createRequire } = require("node:module");
const { after, test } = require("node:test");
const { enqueueSql } = require("../../dist/index.js");
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

test("a file without honker's tables is an error that says so", (t) => {
  if (!isThere(betterSqlite3)) return t.skip();
  const yours = new (driver(betterSqlite3))(freshPath());
  const { sql, params } = enqueueSql("emails", 1);
  assert.throws(() => yours.prepare(sql).get(...params), /no such table: _honker_live/);
  yours.close();
});
