import { open } from "../../../bindings/node/dist/index.mjs";
import { main } from "./jobs.mjs";

await main(open);
