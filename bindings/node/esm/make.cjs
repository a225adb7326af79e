// Writes dist/index.mjs, which gives ES modules what the CommonJS part exports: both are one module, with one registry.
const fs = require("node:fs");
const path = require("node:path");

const dist = path.join(__dirname, "../dist");
const names = Object.keys(require(path.join(dist, "index.js"))).sort();
fs.writeFileSync(
  path.join(dist, "index.mjs"),
  `import honker from "./index.js";\n\nexport const {\n${names.map((name) => `  ${name},\n`).join("")}} = honker;\nexport default honker;\n`,
);
fs.writeFileSync(
  path.join(dist, "index.d.mts"),
  `export * from "./index.js";\nimport * as honker from "./index.js";\nexport default honker;\n`,
);
