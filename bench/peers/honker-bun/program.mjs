import { open } from "../../../bindings/bun/dist/bun/src/index.js";
import { main } from "../honker-node/jobs.mjs";

await main(open);
