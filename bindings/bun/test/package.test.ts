// The examples, the README, and the packed package in a project of its own.
import { afterAll, expect, test } from "bun:test";
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const root = join(import.meta.dir, "..");
const directory = mkdtempSync(join(tmpdir(), "honker-bun-package-"));
afterAll(() => rmSync(directory, { recursive: true, force: true }));

const names = readdirSync(join(root, "examples"));
const readme = readFileSync(join(root, "README.md"), "utf8");
const samples = [...readme.matchAll(/^```ts\n(.*?)^```$/gms)].map((match) => match[1] as string);

/** A folder with the package as it is built here. */
function project(name: string): string {
  const there = join(directory, name);
  mkdirSync(join(there, "node_modules/@russellthehippo"), { recursive: true });
  symlinkSync(root, join(there, "node_modules/@russellthehippo/honker-bun"), "junction");
  return there;
}

/** Runs a program to its end; one that works is told to end after what it is to print. */
async function run(
  cwd: string,
  program: string,
  until?: RegExp,
  env?: Record<string, string | undefined>,
): Promise<string> {
  const started = Bun.spawn([process.execPath, "--no-install", program], { cwd, env, stdout: "pipe", stderr: "pipe" });
  let said = "";
  let told = false; // once: a second signal would give its jobs back
  for await (const chunk of started.stdout) {
    said += new TextDecoder().decode(chunk);
    if (told || !until?.test(said)) continue;
    told = true;
    started.kill("SIGTERM");
  }
  said += await new Response(started.stderr).text();
  expect([program, said, await started.exited]).toEqual([program, said, 0]);
  return said;
}

// That of Postgres is run by the tests of Postgres.
for (const name of names.filter((name) => name !== "postgres.ts")) {
  test(`example ${name}`, async () => {
    const there = project(name);
    cpSync(join(root, "examples", name), join(there, name));
    const said = await run(there, name, name === "worker.ts" ? /to alice\n/ : undefined);
    if (name === "first_queue.ts") expect(said).toBe("hello, world!\n");
    if (name === "worker.ts") expect(said).toContain("ended: 1 done");
  });
}

test("every sample of the README is in an example, under the headings of all packages", () => {
  const headings = [...readme.matchAll(/^## (.*)$/gm)].map((match) => match[1]);
  const [first, last] = [
    ["Install", "First queue", "Concepts", "Queue features"],
    ["Threads and shutdown", "Versions"],
  ];
  expect(headings).toEqual([...first, "On Postgres", ...last]);
  const flush = (text: string): string => text.replace(/^ +/gm, "").replace(/\n+/g, "\n");
  const texts = names.map((name) => flush(readFileSync(join(root, "examples", name), "utf8")));
  expect(samples.length).toBeGreaterThan(5);
  for (const sample of samples) expect(texts.some((text) => text.includes(flush(sample))) ? "" : sample).toBe("");
});

// What users were shown, as it was printed.
const published = {
  first: `import { open } from "@russellthehippo/honker-bun";
const db = open("app.db"); // a second argument may name libhonker
const q = db.queue("greetings");
q.enqueue({ name: "world" });
const job = q.claimOne("worker-1")!;
console.log(\`hello, \${(job.payload as { name: string }).name}!\`);
job.ack();
`,
  transaction: `const tx = db.transaction();
tx.execute("INSERT INTO orders (id, total) VALUES (?, ?)", [42, 99]);
q.enqueue({ to: "alice@example.com" }, { tx });
tx.commit();
`,
};

test("the published snippets run as printed", async () => {
  const there = project("published");
  writeFileSync(join(there, "first.ts"), published.first);
  expect(await run(there, "first.ts")).toBe("hello, world!\n");
  writeFileSync(
    join(there, "transaction.ts"),
    `import { open } from "@russellthehippo/honker-bun";
const db = open("app.db");
const q = db.queue("emails");
db.withTransaction((tx) => tx.execute("CREATE TABLE orders (id INTEGER, total INTEGER)"));
${published.transaction}
console.log(JSON.stringify([db.query("SELECT * FROM orders"), q.claimOne("w")?.payload]));`,
  );
  expect(await run(there, "transaction.ts")).toBe('[[{"id":42,"total":99}],{"to":"alice@example.com"}]\n');
});

test("the packed package, installed without a network, runs the README's example", async () => {
  const there = join(directory, "packed");
  mkdirSync(there);
  const { HONKER_LIBRARY, HONKER_EXTENSION_PATH, NAPI_RS_NATIVE_LIBRARY_PATH, ...alone } = process.env;
  const npm = (...args: string[]): string => {
    const done = Bun.spawnSync(["npm", ...args], { cwd: there, env: alone, stderr: "inherit" });
    expect(done.exitCode).toBe(0);
    return done.stdout.toString().trim();
  };
  const { make } = require("../../node/npm/make.cjs");
  const { platformName } = require("../dist/node/src/native.js");
  make(platformName(), join(root, "../node/dist/honker.node"), HONKER_LIBRARY, join(there, "platform"));
  const archives = [root, join(there, "platform")].map((package_) =>
    join(there, npm("pack", "--silent", "--pack-destination", there, package_)),
  );
  writeFileSync(join(there, "package.json"), '{"private": true}');
  npm("install", "--offline", "--silent", "--no-audit", "--no-fund", "--no-package-lock", ...archives);
  writeFileSync(join(there, "first.ts"), samples[0] as string);
  expect(await run(there, "first.ts", undefined, alone)).toBe("hello, world!\n");
  writeFileSync(
    join(there, "testing.ts"),
    `import { TestDatabase } from "@russellthehippo/honker-bun/testing";
const test = new TestDatabase();
test.db.queue("q").enqueue(1, { delay: 50 });
test.advance(60);
console.log(await test.runDue((job) => console.log(job.payload)));
test.close();`,
  );
  expect(await run(there, "testing.ts", undefined, alone)).toBe("1\n1\n");
  expect(readdirSync(join(there, "node_modules/@russellthehippo/honker-bun")).sort()).toEqual([
    "LICENSE-APACHE",
    "LICENSE-MIT",
    "README.md",
    "dist",
    "package.json",
  ]);
});
