// What the tests have in common: databases of their own, programs in other processes, and waiting for what has to come.
const { spawn } = require("node:child_process");
const fs = require("node:fs");
const os = require("node:os");
const path = require("node:path");
const { after } = require("node:test");
const honker = require("../dist/index.js");

const directory = fs.mkdtempSync(path.join(os.tmpdir(), "honker-node-"));
let files = 0;
const opened = [];

/** A path where there is no file yet. */
exports.freshPath = () => path.join(directory, `test-${++files}.db`);

/** A database of its own, closed at the end of the tests. */
exports.fresh = (options) => {
  const db = honker.open(exports.freshPath(), options);
  opened.push(db);
  return db;
};

/** A name of a file in the directory of the tests. */
exports.inDirectory = (name) => path.join(directory, name);

after(() => {
  for (const db of opened) db.close();
  fs.rmSync(directory, { recursive: true, force: true });
});

/** Until `found` answers something; a loaded machine takes its time. */
exports.until = async (found, what = String(found)) => {
  for (const deadline = Date.now() + 60_000; Date.now() < deadline; ) {
    const value = await found();
    if (value) return value;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  throw new Error(`did not happen: ${what}`);
};

/** The next value of something asynchronous, or an error if it does not come. */
exports.soon = async (promise, what = "a promise") => {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`took too long: ${what}`)), 60_000);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
};

/**
 * Another process of this Node, with `honker` and `path` at hand. `line()` is the next line that it prints, `say` writes one to
 * it, `exit` is a promise of how it ends.
 */
exports.child = (source, dbPath, options = {}) => {
  const program = `const honker = require(${JSON.stringify(require.resolve("../dist/index.js"))});
const path = ${JSON.stringify(dbPath)};
let heard;
const hear = async () => {
  heard ??= require("node:readline").createInterface({ input: process.stdin })[Symbol.asyncIterator]();
  return (await heard.next()).value;
};
(async () => { ${source} })().catch((error) => { console.error(error); process.exit(70); });`;
  const process_ = spawn(process.execPath, ["-e", program], { stdio: ["pipe", "pipe", "inherit"], ...options });
  process_.stdin.on("error", () => {});
  const lines = require("node:readline").createInterface({ input: process_.stdout })[Symbol.asyncIterator]();
  const exit = new Promise((resolve) => process_.on("exit", (code, signal) => resolve(signal ?? code)));
  after(() => process_.kill("SIGKILL"));
  return {
    pid: process_.pid,
    exit,
    kill: (signal) => process_.kill(signal),
    say: (line) => process_.stdin.write(`${line}\n`),
    line: async () => (await exports.soon(lines.next(), "a line of another process")).value,
  };
};
