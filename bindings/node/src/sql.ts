// Enqueueing on a connection that is not honker's, in its transaction: statements that any driver of SQLite runs; postgres.ts has
// those for Postgres. Workers are woken by the commit, in whichever process.
import { instant, integer, optionalInteger, text } from "./check.js";
import { checkEnqueueOptions, type JobOptions, jobJson } from "./enqueue.js";
import { rangeError } from "./errors.js";
import { encode } from "./json.js";

/** A statement, and the values of its `?`. */
export interface Statement {
  sql: string;
  params: (string | number | null)[];
}

/** What a plain INSERT can say of a job. */
export type SqlJobOptions = Pick<JobOptions, "runAt" | "delay" | "priority" | "expires" | "maxAttempts">;

const plain = new Set(["runAt", "delay", "priority", "expires", "maxAttempts"]);

/**
 * A statement that enqueues a job on any connection to the file, and answers its id as `id`. It is a plain INSERT: the connection
 * needs nothing of honker's, and the job is there if and only if the connection's transaction is committed. The file needs
 * honker's tables, which {@link open} makes.
 *
 * What a plain INSERT cannot say (metadata, unique and concurrency keys, batches) is for {@link enqueueWithSql}.
 */
export function enqueueSql(queue: string, payload: unknown, options?: SqlJobOptions): Statement {
  const given = checkEnqueueOptions(options);
  for (const key of Object.keys(given)) {
    if (!plain.has(key)) throw rangeError(`a plain INSERT cannot say ${key}: use enqueueWithSql`);
  }
  const now = Math.floor(Date.now() / 1000);
  const delay = optionalInteger(given.delay, "delay");
  const runAt = delay === undefined ? Number(instant(given.runAt, "runAt") ?? now) : now + Number(delay);
  const expires = optionalInteger(given.expires, "expires");
  const maxAttempts = optionalInteger(given.maxAttempts, "maxAttempts");
  return {
    sql:
      "INSERT INTO _honker_live (queue, payload, run_at, created_at, priority, max_attempts, expires_at) " +
      "SELECT queue, payload, run_at, created_at, priority, coalesce(max_attempts, " +
      "(SELECT json_extract(settings, '$.max_attempts') FROM _honker_queues WHERE name = queue), 3), expires_at " +
      "FROM (SELECT ? AS queue, ? AS payload, ? AS run_at, ? AS created_at, ? AS priority, ? AS max_attempts, ? AS expires_at) " +
      "WHERE true RETURNING id",
    params: [
      textOf(queue, "queue"),
      textOf(encode(payload), "payload"),
      runAt,
      now,
      Number(integer(given.priority ?? 0, "priority")),
      maxAttempts === undefined ? null : Number(maxAttempts),
      expires === undefined ? null : now + Number(expires),
    ],
  };
}

/**
 * The same with all options, for a connection that has loaded honker's extension (`libhonker_ext`): it answers a JSON text with
 * `id` and `status` as `enqueued`.
 */
export function enqueueWithSql(queue: string, payload: unknown, options?: JobOptions): Statement {
  const job = jobJson({ ...checkEnqueueOptions(options), queue, payload }) as { payload: string; options: object };
  return {
    sql: "SELECT honker_enqueue_with(?, ?, ?) AS enqueued",
    params: [textOf(queue, "queue"), textOf(job.payload, "payload"), JSON.stringify(job.options)],
  };
}

/**
 * A statement that acknowledges a job in the transaction of a connection: it is done if and only if a row was deleted, which is
 * answered as `id`, and that is committed; else this claim of it is over, and the transaction is to be rolled back. The handler
 * of a worker tells it of that ({@link WorkerJob.settled}), after the commit. Members of a batch are counted within a minute.
 */
export function ackSql(job: { id: number; workerId: string; attempts: number }): Statement {
  const now = Math.floor(Date.now() / 1000);
  return {
    // A worker may have claimed it again: by the attempts, which are of one claim.
    sql:
      "DELETE FROM _honker_live WHERE id = ? AND worker_id = ? AND attempts = ? AND state = 'processing' " +
      "AND claim_expires_at >= ? RETURNING id",
    params: [
      Number(integer(job.id, "id")),
      textOf(job.workerId, "workerId"),
      Number(integer(job.attempts, "attempts")),
      now,
    ],
  };
}

function textOf(value: string, name: string): string {
  if (text(value, name).includes("\u0000")) throw rangeError(`${name} has a NUL in it`);
  return value;
}
