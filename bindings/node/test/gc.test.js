// The addon under a garbage collector that runs at every turn, as it is and with the address sanitizer.
const assert = require("node:assert/strict");
const { execFileSync } = require("node:child_process");
const fs = require("node:fs");
const path = require("node:path");
const { test } = require("node:test");
const { inDirectory } = require("./helper.js");

const root = path.join(__dirname, "..");
const modules = path.join(root, "../../target/node/package/node_modules");
const rounds = process.env.HONKER_TEST_LONG ? 300 : 24;

function soak(env) {
  const directory = fs.mkdtempSync(inDirectory("soak-"));
  const args = ["--expose-gc", path.join(__dirname, "soak.js"), directory, String(rounds)];
  return execFileSync(process.execPath, args, { encoding: "utf8", env: { ...process.env, ...env } });
}

test("nothing is used that was collected, and nothing is lost", () => {
  assert.equal(soak(), `${rounds} rounds\n`);
});

test("the same with the address sanitizer", (t) => {
  const sanitizer = () => execFileSync("gcc", ["-print-file-name=libasan.so"], { encoding: "utf8" }).trim();
  let library;
  try {
    if (process.platform === "linux") library = fs.realpathSync(sanitizer());
  } catch {
    // no gcc, or none with it
  }
  if (library === undefined) {
    console.log("SKIPPED address sanitizer: gcc does not have it here");
    return t.skip();
  }
  const addon = inDirectory("honker.node");
  const flags =
    "-std=gnu11 -D_GNU_SOURCE -O1 -g -fsanitize=address -fno-omit-frame-pointer -fPIC -fvisibility=hidden -shared -pthread";
  const includes = ["-I", path.join(modules, "node-api-headers/include"), "-I", path.join(root, "../../include")];
  const native = path.join(root, "native");
  const sources = fs.readdirSync(native).filter((name) => name.endsWith(".c"));
  execFileSync("gcc", [...flags.split(" "), ...includes, "-o", addon, ...sources], { cwd: native });
  const env = { NAPI_RS_NATIVE_LIBRARY_PATH: addon, LD_PRELOAD: library, ASAN_OPTIONS: "detect_leaks=0" };
  assert.equal(soak(env), `${rounds} rounds\n`);
});
