// On Postgres, with Bun's own client; what all drivers have in common is tested by the Node package's tests, which Bun runs as
// well. HONKER_POSTGRES_URL is a server.
import { expect, test } from "bun:test";
import { SQL } from "bun";
import { ackOn, enqueueOn, enqueuePgSql, HonkerError, open } from "../dist/bun/src/index.js";

const server = process.env.HONKER_POSTGRES_URL;
let databases = 0;

async function onServer(body: (url: string) => Promise<void>): Promise<void> {
  const admin = new SQL(server as string);
  const name = `bun_${process.pid}_${++databases}`;
  await admin.unsafe(`CREATE DATABASE ${name}`);
  try {
    await body((server as string).replace(/\/[^/?]*(?=\?|$)/, `/${name}`));
  } finally {
    await admin.unsafe(`DROP DATABASE ${name} WITH (FORCE)`);
    await admin.close();
  }
}

test.skipIf(!server)("a job in a transaction of Bun.sql", () =>
  onServer(async (url) => {
    const db = open(`${url}&honker_migrate=on`);
    db.withTransaction((tx) => tx.execute("CREATE TABLE orders (id int PRIMARY KEY)"));
    const sql = new SQL(url);
    const waiting = db.queue("emails").claim("w").next();
    const rolledBack = sql.begin(async (tx) => {
      await tx`INSERT INTO orders VALUES (${1})`;
      await enqueueOn(tx, "emails", "rolled back");
      throw new Error("rolled back");
    });
    await expect(rolledBack).rejects.toThrow("rolled back");
    const id = await sql.begin(async (tx) => {
      await tx`INSERT INTO orders VALUES (${2})`;
      const once = { uniqueKey: "k", metadata: { tenant: "acme" }, priority: 5 };
      const first = await enqueueOn(tx, "emails", { order: 2 }, once);
      expect(await enqueueOn(tx, "emails", { order: 2 }, once)).toEqual({ id: first.id, status: "exists" });
      const rows = (await enqueuePgSql("later", 1, { delay: 60 }).as(tx as never)) as unknown as { status: string }[];
      expect(rows[0]?.status).toBe("enqueued");
      return first.id;
    });
    const job = (await waiting).value;
    expect([job?.id, job?.payload, job?.metadata]).toEqual([id, { order: 2 }, { tenant: "acme" }]);
    expect(db.query("SELECT id FROM orders")).toEqual([{ id: 2 }]);
    await sql.begin(async (tx) => {
      expect(await ackOn(tx, job as never)).toBe(true);
      expect(await ackOn(tx, job as never)).toBe(false);
    });
    expect(db.queue("emails").getJob(id)).toBeNull();
    const refused = enqueueOn(sql, "emails", 1, { delay: (2n ** 63n - 1n) as never }).catch((error) => error);
    expect(await refused).toBeInstanceOf(HonkerError);
    expect((await refused).code).toBe("HONKER_INVALID");
    await sql.close();
    db.close();
  }),
);

test.skipIf(!server)("the example", () =>
  onServer(async (url) => {
    open(`${url}&honker_migrate=on`).close();
    const program = Bun.spawn([process.execPath, "--no-install", `${import.meta.dir}/../examples/postgres.ts`], {
      env: { ...process.env, DATABASE_URL: url },
      stderr: "inherit",
    });
    expect(await new Response(program.stdout).text()).toBe("order 42\n");
    expect(await program.exited).toBe(0);
  }),
);
