// Tasks of the Model Context Protocol, for the official SDK 1.x (`TaskStore` and `TaskMessageQueue` of its experimental tasks), in
// two tables of the file: they survive a restart, and every process that has the file open sees them. The SDK is not needed to load
// this; the types below are those of its interfaces that matter here.
import { randomBytes } from "node:crypto";
import { integer, optionalText, shown, text } from "./check.js";
import type { Database } from "./database.js";
import type { EnqueueOptions } from "./enqueue.js";
import { HonkerError, rangeError, typeError } from "./errors.js";
import type { Queue } from "./queue.js";
import type { SqlValue, Transaction } from "./transaction.js";

/** What becomes of a task. The last three are final. */
export type McpTaskStatus = "working" | "input_required" | "completed" | "failed" | "cancelled";

/** A task, as the protocol has it. */
export interface McpTask {
  taskId: string;
  status: McpTaskStatus;
  statusMessage?: string;
  /** For how many milliseconds it is kept: from its creation, and once it is over from then on. Null: without end. */
  ttl: number | null;
  /** As ISO 8601 has it. */
  createdAt: string;
  lastUpdatedAt: string;
  pollInterval?: number;
}

/** How a task is created. */
export interface McpTaskOptions {
  ttl?: number | null;
  pollInterval?: number;
  context?: Record<string, unknown>;
}

interface Stored {
  seq: number;
  task_id: string;
  status: McpTaskStatus;
  status_message: string | null;
  created_ms: number;
  updated_ms: number;
  ttl_ms: number | null;
  poll_ms: number | null;
  result: string | null;
}

const schema = [
  `CREATE TABLE IF NOT EXISTS honker_mcp_tasks (seq INTEGER PRIMARY KEY AUTOINCREMENT, task_id TEXT NOT NULL UNIQUE, session_id TEXT,
   status TEXT NOT NULL, status_message TEXT, created_ms INTEGER NOT NULL, updated_ms INTEGER NOT NULL, ttl_ms INTEGER,
   expires_ms INTEGER, poll_ms INTEGER, request_id TEXT NOT NULL, request TEXT NOT NULL, result TEXT, job_id INTEGER)`,
  "CREATE INDEX IF NOT EXISTS honker_mcp_tasks_expire ON honker_mcp_tasks (expires_ms) WHERE expires_ms IS NOT NULL",
  `CREATE TABLE IF NOT EXISTS honker_mcp_messages (id INTEGER PRIMARY KEY AUTOINCREMENT, task_id TEXT NOT NULL,
   message TEXT NOT NULL)`,
  "CREATE INDEX IF NOT EXISTS honker_mcp_messages_task ON honker_mcp_messages (task_id, id)",
];

const pageSize = 100;
const final = new Set<McpTaskStatus>(["completed", "failed", "cancelled"]);
const statuses = new Set<McpTaskStatus>(["working", "input_required", ...final]);
const open = "status NOT IN ('completed', 'failed', 'cancelled')";
// A task of a session is found by that session, and by calls without one, which are the server's own; as in the SDK's own store.
const visible = "(expires_ms IS NULL OR expires_ms > ?1) AND (?2 IS NULL OR session_id IS NULL OR session_id = ?2)";
const columns = "seq, task_id, status, status_message, created_ms, updated_ms, ttl_ms, poll_ms, result";

function taskOf(row: Stored): McpTask {
  return {
    taskId: row.task_id,
    status: row.status,
    ttl: row.ttl_ms,
    createdAt: new Date(row.created_ms).toISOString(),
    lastUpdatedAt: new Date(row.updated_ms).toISOString(),
    ...(row.poll_ms === null ? {} : { pollInterval: row.poll_ms }),
    ...(row.status_message === null ? {} : { statusMessage: row.status_message }),
  };
}

/** A number that a client may have said, so that it need not be whole. */
function milliseconds(value: unknown, name: string): number {
  if (typeof value !== "number") throw typeError(`${name} must be a number of milliseconds, not ${shown(value)}`);
  if (!(value >= 0 && value <= 1e15)) throw rangeError(`${name} must be a number of milliseconds, and not negative`);
  return Math.ceil(value);
}

/** What both have: the tables, made when they are first needed. */
class Tables {
  /** @internal */
  protected readonly db: Database;
  #ready: Promise<void> | undefined;

  constructor(db: Database) {
    // Its tables are SQLite's.
    if (/^postgres(ql)?:\/\//.test(db.path)) throw new HonkerError(-27, "tasks of MCP are kept in a file, not in Postgres");
    this.db = db;
  }

  /** @internal */
  protected async ready(): Promise<void> {
    this.#ready ??= this.db.withTransactionAsync(async (tx) => {
      for (const statement of schema) await tx.executeAsync(statement);
    });
    try {
      await this.#ready;
    } catch (error) {
      this.#ready = undefined; // the next call tries again
      throw error;
    }
  }

  /** @internal */
  protected async write<T>(fn: (tx: Transaction) => Promise<T>): Promise<T> {
    await this.ready();
    return this.db.withTransactionAsync(fn);
  }
}

/** The one row of a query; Bun's package answers it by itself. */
async function one<R extends object>(tx: Transaction, sql: string, params: SqlValue[]): Promise<R> {
  const found: unknown = await tx.queryAsync(sql, params);
  return (Array.isArray(found) ? found[0] : found) as R;
}

/**
 * The `taskStore` of an MCP server. A task whose `ttl` is over is not found any more; it is deleted when the next one is created.
 * A result is stored once, and a final status never changes. Errors are those of the SDK's own store, and HonkerErrors of the file.
 */
export class HonkerTaskStore extends Tables {
  async createTask(
    taskParams: McpTaskOptions,
    requestId: string | number,
    request: object,
    sessionId?: string,
  ): Promise<McpTask> {
    const now = Date.now();
    const ttl = taskParams.ttl === undefined || taskParams.ttl === null ? null : milliseconds(taskParams.ttl, "ttl");
    const poll = milliseconds(taskParams.pollInterval ?? 1000, "pollInterval");
    const taskId = randomBytes(16).toString("hex");
    const session = optionalText(sessionId, "sessionId") ?? null;
    await this.write(async (tx) => {
      const over = "SELECT task_id FROM honker_mcp_tasks WHERE expires_ms <= ?";
      await tx.executeAsync(`DELETE FROM honker_mcp_messages WHERE task_id IN (${over})`, [now]);
      await tx.executeAsync("DELETE FROM honker_mcp_tasks WHERE expires_ms <= ?", [now]);
      await tx.executeAsync(
        `INSERT INTO honker_mcp_tasks (task_id, session_id, status, created_ms, updated_ms, ttl_ms, expires_ms, poll_ms, request_id,
         request) VALUES (?, ?, 'working', ?, ?, ?, ?, ?, ?, ?)`,
        [
          taskId,
          session,
          now,
          now,
          ttl,
          ttl ? now + ttl : null, // 0 is without end as well, as in the SDK's own store
          poll,
          JSON.stringify(requestId),
          JSON.stringify(request),
        ],
      );
    });
    const at = new Date(now).toISOString();
    return { taskId, status: "working", ttl, createdAt: at, lastUpdatedAt: at, pollInterval: poll };
  }

  async getTask(taskId: string, sessionId?: string): Promise<McpTask | null> {
    const row = await this.#find(taskId, sessionId);
    return row ? taskOf(row) : null;
  }

  async #find(taskId: string, sessionId: string | undefined): Promise<Stored | undefined> {
    await this.ready();
    const [row] = await this.db.queryAsync<Stored>(
      `SELECT ${columns} FROM honker_mcp_tasks WHERE ${visible} AND task_id = ?3`,
      [Date.now(), optionalText(sessionId, "sessionId"), text(taskId, "taskId")],
    );
    return row;
  }

  async storeTaskResult(taskId: string, status: "completed" | "failed", result: object, sessionId?: string): Promise<void> {
    await this.#change(taskId, status, sessionId, undefined, JSON.stringify(result));
  }

  /** The result, of a task that has one. */
  // biome-ignore lint/suspicious/noExplicitAny: the SDK's Result is any object
  async getTaskResult(taskId: string, sessionId?: string): Promise<Record<string, any>> {
    const row = await this.#find(taskId, sessionId);
    if (!row) throw new Error(`Task with ID ${taskId} not found`);
    if (row.result === null) throw new Error(`Task ${taskId} has no result stored`);
    return JSON.parse(row.result);
  }

  /** Changes the status. `cancelled` cancels the task's job as well ({@link enqueue}), in the same commit. */
  async updateTaskStatus(taskId: string, status: McpTaskStatus, statusMessage?: string, sessionId?: string): Promise<void> {
    await this.#change(taskId, status, sessionId, optionalText(statusMessage, "statusMessage"), undefined);
  }

  async #change(
    taskId: string,
    status: McpTaskStatus,
    sessionId: string | undefined,
    message: string | undefined,
    result: string | undefined,
  ): Promise<void> {
    if (!statuses.has(status)) throw new RangeError(`there is no status ${JSON.stringify(status)} of tasks`);
    const now = Date.now();
    const session = optionalText(sessionId, "sessionId");
    const changed = await this.write(async (tx) => {
      const count = await tx.executeAsync(
        `UPDATE honker_mcp_tasks SET status = ?4, updated_ms = ?1, status_message = coalesce(?5, status_message),
         result = coalesce(?6, result), expires_ms = iif(?7, ?1 + nullif(ttl_ms, 0), expires_ms) WHERE ${visible} AND task_id = ?3 AND ${open}`,
        [now, session, text(taskId, "taskId"), status, message || null, result, final.has(status)],
      );
      if (count === 1 && status === "cancelled") {
        const { job } = await one<{ job: number | null }>(
          tx,
          "SELECT job_id AS job FROM honker_mcp_tasks WHERE task_id = ?",
          [taskId],
        );
        if (job !== null) await this.db.queue("mcp").cancelAsync(job, { tx }); // of whichever queue
      }
      return count === 1;
    });
    if (changed) return;
    const row = await this.#find(taskId, sessionId);
    if (!row) throw new Error(`Task with ID ${taskId} not found`);
    throw new Error(
      result === undefined
        ? `Cannot update task ${taskId} from terminal status '${row.status}' to '${status}'`
        : `Cannot store result for task ${taskId} in terminal status '${row.status}'`,
    );
  }

  async listTasks(cursor?: string, sessionId?: string): Promise<{ tasks: McpTask[]; nextCursor?: string }> {
    if (cursor !== undefined && !/^[0-9]{1,15}$/.test(cursor)) throw new Error(`Invalid cursor: ${cursor}`);
    await this.ready();
    const rows = await this.db.queryAsync<Stored>(
      `SELECT ${columns} FROM honker_mcp_tasks WHERE ${visible} AND seq > ?3 ORDER BY seq LIMIT ?4`,
      [Date.now(), optionalText(sessionId, "sessionId"), Number(cursor ?? 0), pageSize + 1],
    );
    const page = rows.slice(0, pageSize);
    const last = rows.length > pageSize ? String(page.at(-1)?.seq) : undefined;
    return { tasks: page.map(taskOf), ...(last === undefined ? {} : { nextCursor: last }) };
  }

  /**
   * Enqueues the job that does what the task is about, as the task's: when the task is cancelled the job is, too, and a worker that
   * runs it is told ({@link WorkerJob.signal}). Its handler stores the result.
   */
  async enqueue<P>(taskId: string, queue: Queue<P>, payload: P, options?: Omit<EnqueueOptions, "tx">): Promise<number> {
    const id = await this.write(async (tx) => {
      const job = await queue.enqueueAsync(payload, { ...options, tx });
      const count = await tx.executeAsync(`UPDATE honker_mcp_tasks SET job_id = ? WHERE task_id = ? AND ${open}`, [
        job,
        text(taskId, "taskId"),
      ]);
      if (count === 0) throw new Error(`there is no task ${taskId} that is to be done`);
      return job;
    });
    return id;
  }
}

/** The `taskMessageQueue` of an MCP server: messages of a task, first in, first out; each is given to one who asks. */
export class HonkerTaskMessageQueue extends Tables {
  async enqueue(taskId: string, message: object, _sessionId?: string, maxSize?: number): Promise<void> {
    const size = maxSize === undefined ? undefined : Number(integer(maxSize, "maxSize"));
    await this.write(async (tx) => {
      const added = await tx.executeAsync(
        `INSERT INTO honker_mcp_messages (task_id, message) SELECT ?1, ?2
         WHERE ?3 IS NULL OR (SELECT count(*) FROM honker_mcp_messages WHERE task_id = ?1) < ?3`,
        [text(taskId, "taskId"), JSON.stringify(message), size],
      );
      if (added === 0) throw new Error(`Task message queue overflow: it has ${size} messages already, the maximum`);
    });
  }

  // biome-ignore lint/suspicious/noExplicitAny: the SDK's QueuedMessage
  async dequeue(taskId: string, _sessionId?: string): Promise<any> {
    return (await this.#take(taskId, 1))[0];
  }

  // biome-ignore lint/suspicious/noExplicitAny: as above
  async dequeueAll(taskId: string, _sessionId?: string): Promise<any[]> {
    return this.#take(taskId, -1);
  }

  async #take(taskId: string, limit: number): Promise<unknown[]> {
    await this.ready();
    const from = "FROM honker_mcp_messages WHERE task_id = ?";
    // Servers ask often, and mostly in vain, which need not wait for the writer.
    const params = [text(taskId, "taskId")];
    if ((await this.db.queryAsync(`SELECT 1 ${from} LIMIT 1`, params)).length === 0) return [];
    return this.write(async (tx) => {
      const { last, messages } = await one<{ last: number | null; messages: string }>(
        tx,
        `SELECT max(id) AS last, json_group_array(json(message)) AS messages
         FROM (SELECT id, message ${from} ORDER BY id LIMIT ?)`,
        [...params, limit],
      );
      await tx.executeAsync(`DELETE ${from} AND id <= ?`, [...params, last]);
      return JSON.parse(messages);
    });
  }
}
