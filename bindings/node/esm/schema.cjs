// Writes schema_text.js into the folder that is named: the SQL of honker's tables, of which the packages have one text.
const fs = require("node:fs");
const path = require("node:path");

const [, , folder] = process.argv;
const sql = fs.readFileSync(path.join(__dirname, "../../go/schema.sql"), "utf8");
// Without its first line, which says how Go's tests write it.
const text = sql.slice(sql.indexOf("\n") + 1);
fs.writeFileSync(path.join(folder, "schema_text.js"), `exports.text = ${JSON.stringify(text)};\n`);
