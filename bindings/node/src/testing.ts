// Helps to test what enqueues jobs and what handles them: with a database of the test's own, here and now, and with a clock that
// the test moves.
import { AssertionError } from "node:assert";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { integer } from "./check.js";
import { Database, type OpenOptions } from "./database.js";
import type { JobInfo } from "./jobs.js";
import { settlementOf } from "./run.js";
import { type Handler, WorkerJob } from "./worker.js";

/** A database in a folder of its own, which goes with it. */
export class TestDatabase {
  readonly db: Database;
  readonly #directory: string;

  constructor(options?: OpenOptions) {
    this.#directory = mkdtempSync(join(tmpdir(), "honker-test-"));
    this.db = new Database(join(this.#directory, "test.db"), options);
  }

  /** Closes and removes it. */
  close(): void {
    this.db.close();
    rmSync(this.#directory, { recursive: true, force: true });
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /**
   * Handles the jobs that are due, one after the other, until there is none; also those that they enqueue. Each is settled as a
   * worker does it. `queues`: all, if none is named. What a handler throws is thrown here, after its job was settled, unless
   * `throws` is false or it says what becomes of the job ({@link Retry}, {@link Discard}, {@link Snooze}).
   *
   * @returns how many there were
   */
  async runDue<P = unknown>(
    handler: Handler<P>,
    options: { queues?: readonly string[]; throws?: boolean } = {},
  ): Promise<number> {
    let count = 0;
    for (;;) {
      const job = await this.#next<P>(options.queues);
      if (job === undefined) return count;
      count++;
      try {
        await handler(job);
        if (!job.isSettled) await job.ackAsync();
      } catch (error) {
        const { kind, delayS, error: said, becomes } = settlementOf(job as WorkerJob, error);
        if (!job.isSettled) {
          if (becomes === "snoozed" || becomes === "released") await job.snoozeAsync(delayS);
          else if (kind === 2) await job.failAsync(said);
          else await job.retryAsync(delayS < 0 ? 15 * 2 ** (job.attempts - 1) : delayS, said);
        }
        const outcome = ["Retry", "Discard", "Snooze"].includes((error as Error)?.name);
        if (options.throws !== false && !outcome) throw error;
      }
    }
  }

  async #next<P>(queues?: readonly string[]): Promise<WorkerJob<P> | undefined> {
    const names =
      queues ??
      this.db.query<{ queue: string }>("SELECT DISTINCT queue FROM _honker_live ORDER BY queue").map((row) => row.queue);
    for (const name of names) {
      const claimed = await this.db.core.runAsync("claim", undefined, name, "test", 1, 300);
      if (claimed !== null && typeof claimed === "object") {
        return new WorkerJob<P>(this.db, claimed, 0, new AbortController().signal, () => {});
      }
    }
    return undefined;
  }

  /** The jobs that wait in a queue, or are claimed, in the order in which they were enqueued. */
  enqueued(queue: string): JobInfo[] {
    const live = ["due", "delayed", "processing", "blocked"] as const;
    return this.db.jobs.list({ queue, state: live, order: "oldest", pageSize: 1000 }).jobs;
  }

  /** Fails unless there is such a job: of objects, the keys that are given have to have what is given. The first one. */
  assertEnqueued(queue: string, payload?: unknown): JobInfo {
    const jobs = this.enqueued(queue);
    const found = jobs.find((job) => payload === undefined || has(job.payload, payload));
    if (found) return found;
    throw new AssertionError({
      message: `no job of ${queue} has ${JSON.stringify(payload)}; there are ${JSON.stringify(jobs.map((job) => job.payload))}`,
      actual: jobs.map((job) => job.payload),
      expected: payload,
      operator: "assertEnqueued",
    });
  }

  /** Fails if there is such a job. */
  refuteEnqueued(queue: string, payload?: unknown): void {
    const found = this.enqueued(queue).find((job) => payload === undefined || has(job.payload, payload));
    if (found === undefined) return;
    throw new AssertionError({
      message: `there is job ${found.id} of ${queue}: ${JSON.stringify(found.payload)}`,
      operator: "refuteEnqueued",
    });
  }

  /** Moves the clock: everything in the file becomes older by so many seconds. What is enqueued afterwards has the real time. */
  advance(seconds: number): void {
    const by = integer(seconds, "seconds");
    this.db.withTransaction((tx) => {
      const columns = this.db.query<{ tbl: string; col: string }>(
        `SELECT t.name AS tbl, c.name AS col FROM sqlite_schema t JOIN pragma_table_info(t.name) c
         WHERE t.type = 'table' AND t.name GLOB '_honker_*' AND (c.name GLOB '*_at' OR c.name IN ('window_start', 'until'))`,
      );
      for (const { tbl, col } of columns) tx.execute(`UPDATE ${tbl} SET ${col} = ${col} - ?`, [by]);
    });
  }
}

function has(given: unknown, wanted: unknown): boolean {
  if (wanted === null || typeof wanted !== "object" || Array.isArray(wanted)) return isDeepStrictEqual(given, wanted);
  if (given === null || typeof given !== "object") return false;
  return Object.entries(wanted).every(([key, value]) => has((given as Record<string, unknown>)[key], value));
}
