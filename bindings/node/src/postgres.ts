// Enqueueing on a connection to Postgres that is not honker's, in its transaction: calls of honker's SQL functions, which any
// driver runs. Workers are woken by the commit, in whichever process.
import { integer, shown, text } from "./check.js";
import { checkEnqueueOptions, type Enqueued, type JobOptions, jobJson } from "./enqueue.js";
import { HonkerError, typeError } from "./errors.js";

type Value = string | number | null;

/**
 * A statement for Postgres. As it is it can be given to node-postgres (`client.query(statement)`); others take `sql` and `params`
 * (postgres.js and Bun have `sql.unsafe(sql, params)`, TypeORM has `query`, Prisma `$queryRawUnsafe`), or their template tag.
 */
export class PgStatement {
  /** With the place-holders `$1`, `$2`, ... */
  readonly text: string;

  /** @internal */
  constructor(
    private readonly parts: readonly string[],
    readonly values: Value[],
  ) {
    this.text = parts.reduce((all, part, i) => `${all}$${i}${part}`);
  }

  get sql(): string {
    return this.text;
  }

  get params(): Value[] {
    return this.values;
  }

  /** What a template tag makes of it, as if it were written there: `tx.execute(statement.as(sql))` with Drizzle. */
  as<T>(tag: (strings: TemplateStringsArray, ...values: Value[]) => T): T {
    const strings = Object.defineProperty([...this.parts], "raw", { value: Object.freeze([...this.parts]) });
    return tag(Object.freeze(strings) as unknown as TemplateStringsArray, ...this.values);
  }
}

const columns = ["run_at", "delay_s", "priority", "max_attempts", "expires_s"];

/**
 * A statement that enqueues a job in the transaction of any connection to Postgres. It answers the `id`, which many drivers read
 * as a text, and the `status`, as {@link Enqueued} has them. It takes all options; times are the server's.
 */
export function enqueuePgSql(queue: string, payload: unknown, options?: JobOptions): PgStatement {
  const given = checkEnqueueOptions(options);
  const job = jobJson({ ...given, queue, payload }) as { payload: string; options: Record<string, unknown> };
  if (given.member) {
    job.options.member = { job_id: Number(given.member.id), worker_id: given.member.workerId };
  }
  const said = Object.keys(job.options).filter((name) => job.options[name] !== undefined);
  const names = [text(queue, "queue"), job.payload];
  if (said.every((name) => columns.includes(name))) {
    const values = columns.map((name) => job.options[name] ?? (name === "priority" ? 0 : null)).map(plain);
    const parts = `SELECT honker.honker_enqueue(?::text, ?::text${", ?::int8".repeat(5)}) AS id, 'enqueued' AS status`;
    return new PgStatement(parts.split("?"), [...names, ...values]);
  }
  const call = "SELECT honker.honker_enqueue_with(?::text, ?::text, ?::text)::json AS answer";
  return new PgStatement(
    `SELECT (answer->>'id')::int8 AS id, answer->>'status' AS status FROM (${call} OFFSET 0) AS one`.split("?"),
    [...names, JSON.stringify(job.options, (_, value) => (typeof value === "bigint" ? Number(value) : value))],
  );
}

const plain = (value: unknown): Value => (typeof value === "bigint" ? String(value) : (value as Value));

/**
 * A statement that acknowledges a job in the transaction of a connection to Postgres: it is done if and only if a row is answered,
 * which has its `id`, and that is committed; else this claim of it is over, and the transaction is to be rolled back. The handler
 * of a worker tells it of that ({@link WorkerJob.settled}), after the commit.
 */
export function ackPgSql(job: { id: number; workerId: string; attempts: number }): PgStatement {
  const id = Number(integer(job.id, "id"));
  // The function knows the worker, not the claim: a worker may have claimed again what it had lost.
  const claim = "EXISTS (SELECT FROM honker._honker_live WHERE id = ?::int8 AND attempts = ?::int8)";
  const sql = `SELECT id FROM (SELECT ?::int8 AS id, CASE WHEN ${claim} THEN honker.honker_ack(?::int8, ?::text) END AS acked
    OFFSET 0) AS one WHERE acked = 1`;
  const attempts = Number(integer(job.attempts, "attempts"));
  return new PgStatement(sql.split("?"), [id, id, attempts, id, text(job.workerId, "workerId")]);
}

/**
 * A connection to Postgres, or a transaction on one: a `Client` or `PoolClient` of node-postgres, `sql` of postgres.js or of Bun, a
 * `PrismaClient`, an `EntityManager` of TypeORM.
 */
export type PgConnection =
  | { query(sql: string, params: Value[]): PromiseLike<unknown> }
  | { unsafe(sql: string, params: Value[]): PromiseLike<unknown> }
  | { $queryRawUnsafe(sql: string, ...params: Value[]): PromiseLike<unknown> };

/**
 * Enqueues a job in the transaction of a connection to Postgres. What honker refuses is a {@link HonkerError}; any other error is
 * the driver's own.
 */
export async function enqueueOn(
  connection: PgConnection,
  queue: string,
  payload: unknown,
  options?: JobOptions,
): Promise<Enqueued> {
  const [row] = await rows(connection, enqueuePgSql(queue, payload, options));
  return { id: Number(row?.id), status: row?.status as Enqueued["status"] };
}

/** Acknowledges a job there, as {@link ackPgSql}; false if the claim was lost: then the transaction is to be rolled back. */
export async function ackOn(
  connection: PgConnection,
  job: { id: number; workerId: string; attempts: number },
): Promise<boolean> {
  return (await rows(connection, ackPgSql(job))).length > 0;
}

async function rows(connection: PgConnection, { sql, params }: PgStatement): Promise<{ id: unknown; status?: unknown }[]> {
  const run = runner(connection);
  try {
    const answer = (await run(sql, params)) as { rows?: never } | never[];
    return Array.isArray(answer) ? answer : (answer.rows ?? []);
  } catch (error) {
    throw honkerErrorOf(error) ?? error;
  }
}

function runner(connection: unknown): (sql: string, params: Value[]) => PromiseLike<unknown> {
  // biome-ignore lint/suspicious/noExplicitAny: what is asked for here
  const given = connection as any;
  if (typeof given?.unsafe === "function") return (sql, params) => given.unsafe(sql, params);
  if (typeof given?.$queryRawUnsafe === "function") return (sql, params) => given.$queryRawUnsafe(sql, ...params);
  // Drivers of SQLite have both.
  if (typeof given?.query === "function" && typeof given.prepare !== "function") {
    return (sql, params) => given.query(sql, params);
  }
  throw typeError(`connection must be one to Postgres, not ${shown(connection)}: enqueueSql is for SQLite`);
}

/** SQLSTATEs of honker's own. */
const statuses: Record<string, number> = { HK001: -23, HK002: -20, HK003: -32, HK004: -11, HK005: -34 };

/** What there may be in one. Prisma 7 has its adapter's in `meta`, and what the server has said as the cause of that. */
interface DriverError {
  code?: unknown;
  errno?: unknown;
  message?: unknown;
  originalCode?: unknown;
  originalMessage?: unknown;
  cause?: DriverError;
  driverError?: DriverError;
  meta?: { code?: unknown; driverAdapterError?: DriverError };
}

/** The error of honker's for what a driver of Postgres throws; undefined if it is Postgres's or the driver's. */
export function honkerErrorOf(error: unknown): HonkerError | undefined {
  for (let at = error as DriverError | undefined; typeof at === "object" && at !== null; ) {
    const state = [at.originalCode, at.code, at.errno, at.meta?.code].find(
      (code) => typeof code === "string" && Object.hasOwn(statuses, code),
    ) as string | undefined;
    if (state !== undefined) {
      const made = new HonkerError(statuses[state] as number, String(at.originalMessage ?? at.message));
      made.cause = error;
      return made;
    }
    at = at.cause ?? at.driverError ?? at.meta?.driverAdapterError;
  }
  return undefined;
}
