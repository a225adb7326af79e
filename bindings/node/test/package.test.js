const assert = require("node:assert/strict");
const { execFileSync } = require("node:child_process");
const fs = require("node:fs");
const path = require("node:path");
const { test } = require("node:test");
const { make, platforms } = require("../npm/make.cjs");
const { packageVersion, platformName, platformNames } = require("../dist/native.js");
const { freshPath } = require("./helper.js");

const root = path.join(__dirname, "..");
const description = require("../package.json");
const npm = (args, cwd) => execFileSync("npm", args, { cwd, encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });

/** An environment in which nothing but the package tells where its parts are. */
function alone(more = {}) {
  const { HONKER_LIBRARY, HONKER_EXTENSION_PATH, NAPI_RS_NATIVE_LIBRARY_PATH, ...env } = process.env;
  return { ...env, ...more };
}

/** Packs both packages into an empty project, and installs them there without a network. */
function installed(withPlatform) {
  const project = `${freshPath()}.d`;
  fs.mkdirSync(project);
  const archives = [path.join(project, npm(["pack", "--silent", "--pack-destination", project, root], project).trim())];
  if (withPlatform) {
    const platform = path.join(project, "platform");
    make(platformName(), path.join(root, "dist/honker.node"), process.env.HONKER_LIBRARY, platform);
    archives.push(path.join(project, npm(["pack", "--silent", "--pack-destination", project, platform], project).trim()));
  }
  fs.writeFileSync(path.join(project, "package.json"), '{"private": true}');
  npm(["install", "--offline", "--no-audit", "--no-fund", "--no-package-lock", ...archives], project);
  return project;
}

test("the packed package, installed without a network, runs the README's example", () => {
  const project = installed(true);
  const readme = fs.readFileSync(path.join(root, "README.md"), "utf8");
  fs.writeFileSync(path.join(project, "first.js"), /^```js\n(.*?)^```$/ms.exec(readme)[1]);
  const run = (args) => execFileSync(process.execPath, args, { cwd: project, encoding: "utf8", env: alone() });
  assert.equal(run(["first.js"]), "hello, world!\n");
  const esm = `import honker, { open } from "@russellthehippo/honker-node"; import { TestDatabase } from "@russellthehippo/honker-node/testing";
    new TestDatabase().close(); console.log(honker.open === open);`;
  assert.equal(run(["--input-type=module", "-e", esm]), "true\n");
  const there = fs.readdirSync(path.join(project, "node_modules/@russellthehippo/honker-node"));
  assert.deepEqual(there.sort(), ["LICENSE-APACHE", "LICENSE-MIT", "README.md", "dist", "package.json"]);
  const files = fs.readdirSync(path.join(project, "node_modules/@russellthehippo/honker-node/dist"));
  assert.ok(
    files.every((name) => /\.(js|mjs|d\.ts|d\.mts)$/.test(name)),
    files.join(),
  );
});

test("without the native parts, the error says every place that was tried, and why", () => {
  const project = installed(false);
  const program = `try { require("@russellthehippo/honker-node").open("app.db"); } catch (error) { console.log(error.code, error.message); }`;
  const said = execFileSync(process.execPath, ["-e", program], {
    cwd: project,
    encoding: "utf8",
    env: alone({ NAPI_RS_NATIVE_LIBRARY_PATH: "/nonexistent/honker.node" }),
  });
  assert.match(said, /^HONKER_LOAD the native part of honker could not be loaded. Tried:/);
  assert.match(said, /\/nonexistent\/honker.node, of NAPI_RS_NATIVE_LIBRARY_PATH: there is no such file/);
  assert.match(said, /dist\/honker.node: there is no such file/);
  assert.match(said, /honker-node-\S+: not installed. It is an optional dependency/);
  const { HONKER_LIBRARY } = process.env;
  const wrong = execFileSync(
    process.execPath,
    ["-e", `try { require(${JSON.stringify(root)}).open("app.db"); } catch (error) { console.log(error.message); }`],
    { cwd: project, encoding: "utf8", env: alone({ HONKER_LIBRARY: path.join(project, "package.json") }) },
  );
  assert.match(wrong, /libhonker could not be loaded. Tried:\n.*package.json, of HONKER_LIBRARY: (?!.*package.json)/s);
  assert.ok(HONKER_LIBRARY);
  const elsewhere = `Object.defineProperty(process, "platform", { value: "sunos" }); ${program}`;
  const none = execFileSync(process.execPath, ["-e", elsewhere], { cwd: project, encoding: "utf8", env: alone() });
  assert.match(none, /honker-node-sunos-\w+: there is no package for this platform/);
});

test("a platform's package that is damaged, or of another version, is not used, and the error says what to do", () => {
  const project = installed(true);
  const there = path.join(project, `node_modules/@russellthehippo/honker-node-${platformName()}`);
  const library = path.basename(process.env.HONKER_LIBRARY);
  fs.rmSync(path.join(there, library));
  // In the order in which they were tried, each once.
  const lacks = execFileSync(
    process.execPath,
    ["-e", `try { require("@russellthehippo/honker-node").open("app.db"); } catch (error) { console.log(error.message); }`],
    { cwd: project, encoding: "utf8", env: alone() },
  );
  const places = [...lacks.matchAll(/^ {2}([^:\n]+): .*$/gm)].map((match) => match[1]);
  assert.deepEqual(places, [path.join(fs.realpathSync(there), library), library], lacks);
  const older = { ...JSON.parse(fs.readFileSync(path.join(there, "package.json"), "utf8")), version: "0.0.9" };
  fs.writeFileSync(path.join(there, "package.json"), JSON.stringify(older));
  const program = `try { require("@russellthehippo/honker-node").open("app.db"); } catch (error) { console.log(error.code, error.message); }`;
  const said = execFileSync(process.execPath, ["-e", program], { cwd: project, encoding: "utf8", env: alone() });
  assert.match(said, /^HONKER_LOAD .* it is version 0.0.9, and this package is version 0.1.0, which needs the same/s);
  assert.match(said, /install @russellthehippo\/honker-node-\S+@0.1.0 beside it/);
});

test("there is a package for each platform, of this version", () => {
  assert.equal(packageVersion, description.version);
  assert.deepEqual(
    Object.keys(description.optionalDependencies).sort(),
    Object.keys(platforms)
      .map((platform) => `${description.name}-${platform}`)
      .sort(),
  );
  assert.deepEqual([...platformNames].sort(), Object.keys(platforms).sort());
  for (const version of Object.values(description.optionalDependencies)) assert.equal(version, description.version);
});

test("the schema is that of the other packages", () => {
  const { schemaSql } = require("../dist/index.js");
  const go = fs.readFileSync(path.join(root, "../go/schema.sql"), "utf8");
  assert.equal(schemaSql(), go.slice(go.indexOf("\n") + 1));
});
