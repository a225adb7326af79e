// The example of a web server with a worker, as it is: two processes, and requests.
const assert = require("node:assert/strict");
const { spawn } = require("node:child_process");
const fs = require("node:fs");
const path = require("node:path");
const readline = require("node:readline");
const { after, test } = require("node:test");
const { freshPath, soon } = require("../helper.js");

const root = path.join(__dirname, "../..");
const express = path.join(root, "../../target/node/adapters/node_modules/express");

function started(directory, program) {
  const env = { ...process.env, PORT: "0" };
  const process_ = spawn(process.execPath, [program], { cwd: directory, env, stdio: ["ignore", "pipe", "pipe"] });
  after(() => process_.kill("SIGKILL"));
  const exit = new Promise((resolve) => process_.on("exit", (code, signal) => resolve(signal ?? code)));
  const lines = readline.createInterface({ input: process_.stdout })[Symbol.asyncIterator]();
  const stop = async () => {
    process_.kill("SIGTERM");
    assert.equal(await soon(exit, program), 0);
  };
  process_.stderr.pipe(process.stderr);
  return { stop, line: async () => (await soon(lines.next(), program)).value };
}

test("orders that the server takes are done by the worker's process", async (t) => {
  if (!fs.existsSync(express)) {
    console.log("SKIPPED express: it is not installed (scripts/setup drivers)");
    return t.skip();
  }
  const directory = `${freshPath()}.d`;
  fs.cpSync(path.join(root, "examples/express"), directory, { recursive: true });
  fs.mkdirSync(path.join(directory, "node_modules/@russellthehippo"), { recursive: true });
  fs.symlinkSync(root, path.join(directory, "node_modules/@russellthehippo/honker-node"), "junction");
  fs.symlinkSync(express, path.join(directory, "node_modules/express"), "junction");

  const server = started(directory, "server.mjs");
  const url = await server.line();
  const post = async (order) => {
    const headers = { "Content-Type": "application/json" };
    const response = await fetch(`${url}/orders`, { method: "POST", headers, body: JSON.stringify(order) });
    return [response.status, await response.json()];
  };
  assert.deepEqual(await post({ id: 42, total: 9900 }), [202, { id: 42, job: 1 }]);
  assert.deepEqual(await post({ id: 42, total: 1 }), [409, { error: "there is an order 42" }]);
  assert.equal((await post({ id: "x" }))[0], 400);
  assert.equal((await fetch(`${url}/orders/7/receipt`)).status, 404);
  const waits = fetch(`${url}/orders/42/receipt`); // before there is a worker
  const worker = started(directory, "worker.mjs");
  const receipt = await soon(waits, "the receipt");
  assert.equal(receipt.status, 200);
  assert.equal(await receipt.text(), "order 42: 99.00\n");
  assert.deepEqual(await post({ id: 43, total: 50 }), [202, { id: 43, job: 2 }]);
  assert.equal(await (await fetch(`${url}/orders/43/receipt`)).text(), "order 43: 0.50\n");
  await worker.stop();
  await server.stop();
});
