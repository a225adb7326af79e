// An npm registry on loopback that serves dist/node: npm leaves out an optional dependency that it cannot find without an error, so
// that installing from files would prove nothing.
import fs from "node:fs";
import http from "node:http";
import path from "node:path";

const folder = "/dist/node";
const port = 4873;
const index = JSON.parse(fs.readFileSync(path.join(folder, "index.json"), "utf8"));

http
  .createServer((request, response) => {
    const name = decodeURIComponent(request.url.slice(1));
    const manifest = index[name];
    if (manifest) {
      const tarball = `http://127.0.0.1:${port}/${manifest.dist.tarball}`;
      const version = { ...manifest, dist: { ...manifest.dist, tarball } };
      const answer = { name, "dist-tags": { latest: version.version }, versions: { [version.version]: version } };
      response.setHeader("content-type", "application/json");
      response.end(JSON.stringify(answer));
    } else if (/^[\w.-]+\.tgz$/.test(name) && fs.existsSync(path.join(folder, name))) {
      fs.createReadStream(path.join(folder, name)).pipe(response);
    } else {
      response.statusCode = 404;
      response.end("{}");
    }
  })
  .listen(port, "127.0.0.1", () => fs.writeFileSync("/tmp/registry", ""));
