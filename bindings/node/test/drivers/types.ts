// Compiled, and never run: this package's adapters fit the interfaces of the libraries that they are for.
import type { TaskMessageQueue, TaskStore } from "@modelcontextprotocol/sdk/experimental/tasks/interfaces.js";
import type { Database } from "../../dist/index.js";
import { HonkerTaskMessageQueue, HonkerTaskStore } from "../../dist/mcp.js";

export const store = (db: Database): TaskStore => new HonkerTaskStore(db);
export const queue = (db: Database): TaskMessageQueue => new HonkerTaskMessageQueue(db);
