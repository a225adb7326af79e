// The package that is tested. The adapter of the Bun package is this program, run by Bun, with that package.
const isBun = "bun" in process.versions;

exports.name = isBun ? "bun" : "node";
exports.honker = require(isBun ? "../../bun/dist/bun/src/index.js" : "../dist/index.js");
exports.json = require(isBun ? "../../bun/dist/node/src/json.js" : "../dist/json.js");
exports.version = require(isBun ? "../../bun/package.json" : "../package.json").version;
