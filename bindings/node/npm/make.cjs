// Makes the package of one platform, with its native parts:
//
//   node npm/make.cjs linux-x64-gnu dist/honker.node ../../target/release/libhonker.so OUT
//
// OUT is what is published, or packed, as @russellthehippo/honker-node-<platform>.
const fs = require("node:fs");
const path = require("node:path");

const platforms = {
  "darwin-arm64": { os: "darwin", cpu: "arm64", library: "libhonker.dylib" },
  "darwin-x64": { os: "darwin", cpu: "x64", library: "libhonker.dylib" },
  "linux-arm64-gnu": { os: "linux", cpu: "arm64", libc: "glibc", library: "libhonker.so" },
  "linux-arm64-musl": { os: "linux", cpu: "arm64", libc: "musl", library: "libhonker.so" },
  "linux-x64-gnu": { os: "linux", cpu: "x64", libc: "glibc", library: "libhonker.so" },
  "linux-x64-musl": { os: "linux", cpu: "x64", libc: "musl", library: "libhonker.so" },
  "win32-x64-msvc": { os: "win32", cpu: "x64", library: "honker.dll" },
};

function make(platform, addon, library, out) {
  const { os, cpu, libc, library: libraryName } = platforms[platform];
  const main = JSON.parse(fs.readFileSync(path.join(__dirname, "../package.json"), "utf8"));
  fs.mkdirSync(out, { recursive: true });
  const description = {
    name: `${main.name}-${platform}`,
    version: main.version,
    description: `The native parts of ${main.name} for ${platform}`,
    license: main.license,
    repository: main.repository,
    engines: main.engines,
    os: [os],
    cpu: [cpu],
    ...(libc ? { libc: [libc] } : {}),
    main: "honker.node",
    files: ["LICENSE-*", "honker.node", libraryName],
  };
  fs.writeFileSync(path.join(out, "package.json"), `${JSON.stringify(description, null, 2)}\n`);
  for (const license of ["LICENSE-APACHE", "LICENSE-MIT"]) {
    fs.copyFileSync(path.join(__dirname, "..", license), path.join(out, license));
  }
  fs.copyFileSync(addon, path.join(out, "honker.node"));
  fs.copyFileSync(library, path.join(out, libraryName));
}

module.exports = { make, platforms };
if (require.main === module) make(...process.argv.slice(2));
