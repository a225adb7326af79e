// Tasks of an MCP server that outlive it; test/mcp.test.js has one with the official SDK.
import { open } from "@russellthehippo/honker-node";
import { HonkerTaskMessageQueue, HonkerTaskStore } from "@russellthehippo/honker-node/mcp";

const db = open("app.db");
const [requestId, request] = [1, { method: "tools/call", params: { name: "report" } }];

// README
const taskStore = new HonkerTaskStore(db);
const taskMessageQueue = new HonkerTaskMessageQueue(db);
// new McpServer({ name, version }, { capabilities, taskStore, taskMessageQueue }); a tool creates a task and its job:
const task = await taskStore.createTask({ ttl: 3_600_000 }, requestId, request);
await taskStore.enqueue(task.taskId, db.queue("reports"), { taskId: task.taskId });
// and the worker's handler, wherever it is, says that it is done:
await taskStore.storeTaskResult(task.taskId, "completed", { content: [{ type: "text", text: "done" }] });

console.log((await taskStore.getTask(task.taskId)).status, await taskMessageQueue.dequeueAll(task.taskId));
