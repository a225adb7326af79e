const assert = require("node:assert/strict");
const { execFileSync, spawn } = require("node:child_process");
const fs = require("node:fs");
const path = require("node:path");
const { test } = require("node:test");
const { open } = require("../dist/index.js");
const { freshPath, soon } = require("./helper.js");

const examples = path.join(__dirname, "../examples");
const readme = fs.readFileSync(path.join(__dirname, "../README.md"), "utf8");
const names = fs.readdirSync(examples).filter((name) => /\.m?js$/.test(name));

/** Runs an example in a folder of its own, to its end, or to its first line for those that run until they are told. */
async function run(name, until) {
  const directory = `${freshPath()}.d`;
  fs.mkdirSync(directory);
  const program = spawn(process.execPath, ["--no-warnings", path.join(examples, name)], { cwd: directory });
  let output = "";
  let told = false; // once: a second signal would give its jobs back
  program.stdout.on("data", (data) => {
    output += data;
    if (!told && until?.test(output)) told = program.kill("SIGTERM");
  });
  program.stderr.on("data", (data) => {
    output += data;
  });
  // It has ended, and all that it has said has been read.
  const code = await soon(new Promise((resolve) => program.on("close", (exit, signal) => resolve(exit ?? signal))), name);
  assert.equal(code, 0, `${name}: ${output}`);
  return output;
}

// That of Postgres is run by the tests of Postgres.
for (const name of names.filter((name) => name !== "postgres.mjs")) {
  test(`example ${name}`, async () => {
    const output = await run(name, name === "worker.mjs" ? /to alice\n/ : undefined);
    if (name === "first_queue.js") assert.equal(output, "hello, world!\n");
    if (name === "worker.mjs") assert.match(output, /ended: 1 done/);
  });
}

test("every sample of the README is in an example, under the headings of all packages", () => {
  assert.deepEqual(
    [...readme.matchAll(/^## (.*)$/gm)].map((match) => match[1]),
    ["Install", "First queue", "Concepts", "Queue features", "On Postgres", "Threads and shutdown", "Versions"],
  );
  const texts = names.map((name) => fs.readFileSync(path.join(examples, name), "utf8"));
  const samples = [...readme.matchAll(/^```js\n(.*?)^```$/gms)].map((match) => match[1]);
  assert.ok(samples.length > 8);
  for (const sample of samples) {
    assert.ok(
      texts.some((text) => text.includes(sample)),
      `no example has this sample:\n${sample}`,
    );
  }
});

// What users were shown, as it was printed.
const published = {
  first: `const { open } = require('@russellthehippo/honker-node');
const db = open('app.db');
const q = db.queue('greetings');
q.enqueue({ name: 'world' });
const job = q.claimOne('worker-1');
console.log(\`hello, \${job.payload.name}!\`);
job.ack();`,
  waker: `const waker = q.claimWaker();
const job = await waker.next('worker-1');
await sendEmail(job.payload);`,
  transaction: `const tx = db.transaction();
tx.execute("INSERT INTO orders (id, total) VALUES (?, ?)", [42, 99]);
q.enqueueTx(tx, { to: "alice@example.com" });
tx.commit();`,
};

test("the published snippets run as printed", async () => {
  const directory = `${freshPath()}.d`;
  fs.mkdirSync(directory);
  fs.mkdirSync(path.join(directory, "node_modules/@russellthehippo"), { recursive: true });
  fs.symlinkSync(path.join(__dirname, ".."), path.join(directory, "node_modules/@russellthehippo/honker-node"), "junction");
  fs.writeFileSync(path.join(directory, "first.js"), published.first);
  const said = execFileSync(process.execPath, ["first.js"], { cwd: directory, encoding: "utf8" });
  assert.equal(said, "hello, world!\n");
  const db = open(path.join(directory, "app.db"));
  const q = db.queue("emails");
  db.withTransaction((tx) => tx.execute("CREATE TABLE orders (id INTEGER, total INTEGER)"));
  const AsyncFunction = (async () => {}).constructor;
  const sent = [];
  await new AsyncFunction("db", "q", published.transaction)(db, q);
  await new AsyncFunction("q", "sendEmail", published.waker)(q, async (email) => sent.push(email));
  assert.deepEqual(sent, [{ to: "alice@example.com" }]);
  assert.deepEqual(db.query("SELECT * FROM orders"), [{ id: 42, total: 99 }]);
  db.close();
});
