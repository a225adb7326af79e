// Compiled, and never run: this package's adapters fit the interfaces of the libraries that they are for.
import type { TaskMessageQueue, TaskStore } from "@modelcontextprotocol/sdk/experimental/tasks/interfaces.js";
import * as opentelemetry from "@opentelemetry/api";
import type { Database, Middleware } from "../../dist/index.js";
import { HonkerTaskMessageQueue, HonkerTaskStore } from "../../dist/mcp.js";
import { traceEnqueues, traceJobs } from "../../dist/opentelemetry.js";

export const store = (db: Database): TaskStore => new HonkerTaskStore(db);
export const queue = (db: Database): TaskMessageQueue => new HonkerTaskMessageQueue(db);
export const traced = (db: Database): Middleware => {
  traceEnqueues(db, opentelemetry);
  return traceJobs(opentelemetry);
};
