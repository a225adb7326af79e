import { randomUUID } from "node:crypto";
import { Batch, type BatchOptions, batchJson } from "./batch.js";
import { options as checked, choice, functionOf, integer, optionalInteger, positive, shown, text } from "./check.js";
import { Core, Resident } from "./core.js";
import { type Enqueued, type EnqueueHook, type JobSpec, manyOf, packSpecs } from "./enqueue.js";
import { rangeError, typeError } from "./errors.js";
import { UpdateEvents } from "./feed.js";
import { Jobs } from "./jobs.js";
import { camelKeys, decode, encode } from "./json.js";
import { Listener, type ListenOptions } from "./listen.js";
import { Lock } from "./lock.js";
import type { Handle } from "./native.js";
import { type Delivery, Outbox, type OutboxOptions } from "./outbox.js";
import { Queue, type QueueOptions, type QueueSettings } from "./queue.js";
import { type WaitResultOptions, waitResult } from "./result.js";
import { Scheduler } from "./scheduler.js";
import { Stream } from "./stream.js";
import { parameters, type Row, rowsOf, type SqlValue, Transaction } from "./transaction.js";
import { type Handler, Worker, type WorkerOptions, type WorkerQueues } from "./worker.js";

/** A queue with what holds for it. */
export type QueueInfo = { queue: string } & Required<QueueSettings>;

/** How long something took: how many were at most so many seconds, and all together. */
export interface Histogram {
  sumS: number;
  /** The last one has null. */
  buckets: { upToS: number | null; count: number }[];
}

/** What is known of the queues. Counters only grow, and are ten seconds late at most. */
export interface Metrics {
  queues: {
    queue: string;
    counts: Record<"enqueued" | "claimed" | "done" | "retried" | "released" | "dead" | "cancelled", number>;
    /** From due to claimed. */
    wait: Histogram;
    /** From claimed to settled. */
    run: Histogram;
    depth: Record<"due" | "delayed" | "processing" | "blocked" | "expired" | "dead" | "oldestDueAgeS", number>;
  }[];
}

/** How a database is opened. */
export interface OpenOptions {
  /** How many reads may run at a time. Default 8. */
  maxReaders?: number;
  /** How commits are noticed: `auto` (the default), `polling`, `kernel` or `shm`. */
  watcherBackend?: string | null;
  /** How often those that poll look, in milliseconds. Default 1. */
  watcherPollIntervalMs?: number | null;
  /** How long a call waits for a lock that another process, or a transaction of this one, holds. Default 5000. */
  busyTimeoutMs?: number;
  /** What a commit survives: a crash of the process (`normal`, the default), or a power cut as well (`full`). */
  durability?: "normal" | "full";
  /** SQLite's journal mode. Default `wal`. */
  journalMode?: "wal" | "delete" | "truncate" | "persist";
  /** After how many pages the write-ahead log is written back; 0 for never. Default 10000. */
  walAutocheckpointPages?: number;
  /** Where libhonker is, if it is not the one that came with the package. The first database of a thread decides. */
  libraryPath?: string | null;
}

const known = new Set([
  "maxReaders",
  "watcherBackend",
  "watcherPollIntervalMs",
  "busyTimeoutMs",
  "durability",
  "journalMode",
  "walAutocheckpointPages",
  "libraryPath",
]);
const durabilities = { normal: 0, full: 1 };
const journalModes = { wal: 0, delete: 1, truncate: 2, persist: 3 };
const backends = new Set(["", "auto", "polling", "poll", "kernel", "kernel-watcher", "shm", "shm-fast-path"]);

/** @internal In the order in which the addon reads them, the busy timeout first. */
function packOpen(options: OpenOptions): [number, ...unknown[]] {
  const backend = options.watcherBackend ?? undefined;
  if (backend !== undefined && (typeof backend !== "string" || !backends.has(backend))) {
    throw rangeError(`unknown watcher backend: ${shown(backend)}`);
  }
  const poll = optionalInteger(options.watcherPollIntervalMs, "watcherPollIntervalMs") ?? 1;
  if (poll <= 0) throw rangeError("watcherPollIntervalMs must be positive: the poll interval must be positive");
  const readers = positive(options.maxReaders ?? 8, "maxReaders");
  if (readers > 1000) throw rangeError("maxReaders must be at most 1000");
  const busy = integer(options.busyTimeoutMs ?? 5000, "busyTimeoutMs");
  const pages = integer(options.walAutocheckpointPages ?? 10000, "walAutocheckpointPages");
  if (busy < 0 || pages < 0 || pages > 0x7fffffff)
    throw rangeError("busyTimeoutMs and walAutocheckpointPages must not be negative");
  return [
    Number(busy),
    readers,
    choice(options.durability, "durability", durabilities) ?? 0,
    choice(options.journalMode, "journalMode", journalModes) ?? 0,
    pages,
    backend,
    poll,
  ];
}

/**
 * Opens a SQLite file, creating it if need be, and brings honker's tables in it up to date; or a Postgres database, if `path` is its
 * URL, `postgres://...`, for which the options say nothing but for `busyTimeoutMs` and `maxReaders`, the number of connections.
 *
 * The database belongs to this thread. It does not keep the program running; who waits for something does.
 */
export function open(path: string, options?: OpenOptions): Database;
export function open(
  path: string,
  maxReaders?: number | null,
  watcherBackend?: string | null,
  watcherPollIntervalMs?: number | null,
): Database;
export function open(
  path: string,
  second?: OpenOptions | number | null,
  watcherBackend?: string | null,
  watcherPollIntervalMs?: number | null,
): Database {
  return new Database(path, openOptions(second, watcherBackend, watcherPollIntervalMs));
}

/**
 * As {@link open}, off the event loop: it waits for another process that changes the file, or its tables, or has it for itself.
 * That lasts for the busy timeout at most, and nothing ends it earlier.
 */
export function openAsync(path: string, options?: OpenOptions): Promise<Database>;
export function openAsync(
  path: string,
  maxReaders?: number | null,
  watcherBackend?: string | null,
  watcherPollIntervalMs?: number | null,
): Promise<Database>;
export async function openAsync(
  path: string,
  second?: OpenOptions | number | null,
  watcherBackend?: string | null,
  watcherPollIntervalMs?: number | null,
): Promise<Database> {
  return Database.openAsync(path, openOptions(second, watcherBackend, watcherPollIntervalMs));
}

function openOptions(
  second: OpenOptions | number | null | undefined,
  watcherBackend: string | null | undefined,
  watcherPollIntervalMs: number | null | undefined,
): OpenOptions {
  if (typeof second === "object" && second !== null) return second;
  return { maxReaders: second ?? undefined, watcherBackend, watcherPollIntervalMs };
}

/**
 * An open database. What is called by its plain name runs on this thread, and waits there for another process that writes; each
 * such call has a twin ending in `Async`, which waits on the database's own thread. While a transaction is open, plain calls
 * that write and are not part of it fail at once, and asynchronous ones wait for its end.
 */
export class Database extends Resident implements Disposable, AsyncDisposable {
  readonly #core: Core;
  readonly #outboxes = new Map<string, { outbox: Outbox<never>; delivery: unknown; key: string }>();
  readonly #hooks: EnqueueHook[] = [];
  readonly #options: OpenOptions;
  /** As it was opened. */
  readonly path: string;

  /** @internal `core`, if it is open already. */
  constructor(path: string, options?: OpenOptions, core?: Core) {
    super();
    this.#options = options ?? {};
    if (core === undefined) {
      const [made, packed] = prepare(path, options);
      made.open(packed);
      this.#core = made;
    } else {
      this.#core = core;
    }
    this.path = path;
  }

  /** @internal */
  static async openAsync(path: string, options?: OpenOptions): Promise<Database> {
    const [core, packed] = prepare(path, options);
    await core.openAsync(packed);
    return new Database(path, options, core);
  }

  /** The native handle, for nothing but comparing. */
  get raw(): object {
    return this.#core.handle;
  }

  get closed(): boolean {
    return this.#core.closed;
  }

  /** @internal */
  get core(): Core {
    return this.#core;
  }

  /** @internal */
  get hooks(): readonly EnqueueHook[] {
    return this.#hooks;
  }

  /** @internal The file that is at the path now, opened in the same way. */
  async again(): Promise<Database> {
    const database = await Database.openAsync(this.path, this.#options);
    database.#hooks.push(...this.#hooks);
    return database;
  }

  /**
   * Closes it: what runs or waits ends, an open transaction is rolled back, and when this returns the file is nobody's. It may
   * take a second if subscriptions have to be saved while another process writes. Closing again does nothing.
   */
  close(): void {
    this.#core.close();
  }

  /** As {@link close}, off the event loop. */
  closeAsync(): Promise<void> {
    return this.#core.closeAsync();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.closeAsync();
  }

  // --- Transactions and SQL. ---

  /** Begins a transaction that may write. */
  transaction(): Transaction {
    return new Transaction(this.#core, this.#core.run("txBegin", undefined));
  }

  /** As {@link transaction}, off the event loop: it waits for one that is open, or another process that writes. */
  async transactionAsync(): Promise<Transaction> {
    return new Transaction(this.#core, (await this.#core.runAsync("txBegin", undefined)) as Handle);
  }

  /** Calls `fn` in a transaction, which is committed when it returns, and rolled back when it throws. */
  withTransaction<T>(fn: (tx: Transaction) => T): T {
    functionOf(fn, "fn");
    const tx = this.transaction();
    try {
      const result = fn(tx);
      if (result instanceof Promise) {
        result.catch(() => undefined);
        throw typeError("fn must not be asynchronous: use withTransactionAsync");
      }
      tx.commit();
      return result;
    } finally {
      tx[Symbol.dispose]();
    }
  }

  /** As {@link withTransaction}, off the event loop; `fn` may be asynchronous. */
  async withTransactionAsync<T>(fn: (tx: Transaction) => T | Promise<T>): Promise<T> {
    functionOf(fn, "fn");
    const tx = await this.transactionAsync();
    try {
      const result = await fn(tx);
      await tx.commitAsync();
      return result;
    } finally {
      await tx.rollbackAsync();
    }
  }

  /** Runs one statement that only reads; its rows, of what is committed. */
  query<R extends object = Row>(sql: string, params?: readonly SqlValue[]): R[] {
    return rowsOf(this.#core.run("query", undefined, text(sql, "sql"), parameters(params))) as R[];
  }

  /** As {@link query}, off the event loop. */
  async queryAsync<R extends object = Row>(sql: string, params?: readonly SqlValue[]): Promise<R[]> {
    return rowsOf(await this.#core.runAsync("query", undefined, text(sql, "sql"), parameters(params))) as R[];
  }

  // --- Queues. ---

  /** A queue. Each call makes a handle, with options of its own. */
  queue<P = unknown>(name: string, options?: QueueOptions): Queue<P> {
    this.#core.check();
    return new Queue<P>(this.#core, this.#hooks, name, options);
  }

  /** Adds jobs to any queues, all or none, in one commit. */
  enqueueMany(jobs: readonly JobSpec[], options?: { tx?: Transaction | null }): Enqueued[] {
    const run = (packed: unknown[]): unknown => manyOf(this.#core.run("enqueueMany", options?.tx, packed));
    return this.#enqueueMany(jobs, run) as Enqueued[];
  }

  /** As {@link enqueueMany}, off the event loop. */
  async enqueueManyAsync(jobs: readonly JobSpec[], options?: { tx?: Transaction | null }): Promise<Enqueued[]> {
    const run = async (packed: unknown[]): Promise<unknown> =>
      manyOf(await this.#core.runAsync("enqueueMany", options?.tx, packed));
    return this.#enqueueMany(jobs, run) as Promise<Enqueued[]>;
  }

  #enqueueMany(jobs: readonly JobSpec[], run: (packed: unknown[]) => unknown): unknown {
    const packed = packSpecs(jobs);
    if (this.#hooks.length === 0) return run(packed);
    const calls = jobs.map(({ queue, payload, ...options }) => ({ queue, payload, options }));
    const at = (i: number): unknown => {
      const [hook, call] = [this.#hooks[i % this.#hooks.length], calls[Math.floor(i / this.#hooks.length)]];
      if (hook && call) return hook(call, () => at(i + 1));
      return run(packSpecs(calls.map(({ queue, payload, options }) => ({ ...options, queue, payload }))));
    };
    return at(0);
  }

  /** Is called around each enqueue of this database, the first one outermost. */
  aroundEnqueue(hook: EnqueueHook): void {
    this.#hooks.push(functionOf(hook, "hook"));
  }

  /** Creates a batch, to which jobs are added with the option `batch`. It is to be sealed. */
  createBatch(options?: BatchOptions): Batch {
    return new Batch(this.#core, this.#core.run("batchCreate", options?.tx, batchJson(options)));
  }

  /** As {@link createBatch}, off the event loop. */
  async createBatchAsync(options?: BatchOptions): Promise<Batch> {
    return new Batch(this.#core, await this.#core.runAsync("batchCreate", options?.tx, batchJson(options)));
  }

  /** A batch by its id, whether or not there is one. */
  getBatch(id: number): Batch {
    return new Batch(this.#core, Number(integer(id, "id")));
  }

  /** Creates a batch, calls `fn`, which adds jobs to it, and seals it; if `fn` throws it stays open. */
  async batch(fn: (batch: Batch) => unknown, options?: BatchOptions): Promise<Batch> {
    functionOf(fn, "fn");
    const batch = await this.createBatchAsync(options);
    await fn(batch);
    await batch.sealAsync({ tx: options?.tx ?? undefined });
    return batch;
  }

  // --- Streams and notifications. ---

  /** A topic. */
  stream<P = unknown>(name: string): Stream<P> {
    this.#core.check();
    return new Stream<P>(this.#core, name);
  }

  /** Sends a notification to the listeners of a channel; its id. */
  notify(channel: string, payload: unknown): number {
    return this.#core.run("notify", undefined, text(channel, "channel"), encode(payload));
  }

  /** As {@link notify}, off the event loop. */
  async notifyAsync(channel: string, payload: unknown): Promise<number> {
    return this.#core.runAsync("notify", undefined, text(channel, "channel"), encode(payload));
  }

  /** As {@link notify} in a transaction. */
  notifyTx(tx: Transaction, channel: string, payload: unknown): number {
    if (!tx) throw typeError("tx must be a Transaction");
    return this.#core.run("notify", tx, text(channel, "channel"), encode(payload));
  }

  /** What is sent to a channel from now on. */
  listen<P = unknown>(channel: string, options?: ListenOptions): Listener<P> {
    return new Listener<P>(this.#core, channel, options);
  }

  /**
   * Deletes the notifications that are older than `olderThanS`, and those that are not among the `maxKeep` newest; how many that
   * were. Without either it does nothing.
   */
  pruneNotifications(olderThanS?: number | null, maxKeep?: number | null): number {
    return this.#core.run("notificationsPrune", undefined, ...pruning(olderThanS, maxKeep));
  }

  /** As {@link pruneNotifications}, off the event loop. */
  async pruneNotificationsAsync(olderThanS?: number | null, maxKeep?: number | null): Promise<number> {
    return this.#core.runAsync("notificationsPrune", undefined, ...pruning(olderThanS, maxKeep));
  }

  /** For how many seconds notifications are kept; null, the default, until somebody prunes them. */
  configureNotifications(options: { keepS: number | null }): void {
    this.#core.run("notificationsConfigure", undefined, JSON.stringify({ keep_s: options.keepS }));
  }

  /** As {@link configureNotifications}, off the event loop. */
  async configureNotificationsAsync(options: { keepS: number | null }): Promise<void> {
    await this.#core.runAsync("notificationsConfigure", undefined, JSON.stringify({ keep_s: options.keepS }));
  }

  /** Tells of commits to the file, by anybody. */
  updateEvents(options?: { signal?: AbortSignal }): UpdateEvents {
    return new UpdateEvents(this.#core, options?.signal);
  }

  // --- Workers. ---

  /**
   * A worker of one or several queues: it claims, calls the handler, settles, prolongs, retries, and ends when it is told to
   * ({@link Worker.run}).
   */
  worker<P = unknown>(queues: WorkerQueues, handler: Handler<P>, options?: WorkerOptions): Worker<P> {
    this.#core.check();
    return new Worker<P>(this, queues, handler, options);
  }

  // --- Schedules, outboxes, results, locks, rate limits. ---

  /** The schedules of the file. */
  scheduler(): Scheduler {
    this.#core.check();
    return new Scheduler(this.#core);
  }

  /**
   * A named outbox, whose payloads `delivery` is called with. The handle is the same for the same name.
   *
   * @throws RangeError if it was opened with another delivery or options
   */
  outbox<P = unknown>(name: string, delivery: Delivery<P>, options?: OutboxOptions): Outbox<P> {
    this.#core.check();
    const key = [options?.visibilityTimeoutS, options?.maxAttempts, options?.baseBackoffS].join();
    const before = this.#outboxes.get(text(name, "name"));
    if (before !== undefined) {
      if (before.delivery === delivery && before.key === key) return before.outbox as unknown as Outbox<P>;
      throw rangeError(`outbox ${JSON.stringify(name)} was already opened with another delivery or options`);
    }
    const queue = (full: string, maxAttempts: number): Queue<P> => this.queue<P>(full, { maxAttempts });
    const outbox = new Outbox<P>(this.#core, name, queue, delivery, options);
    this.#outboxes.set(name, { outbox: outbox as unknown as Outbox<never>, delivery, key });
    return outbox;
  }

  /** Saves a text as the result of a job, for `ttlS` seconds; without end if that is 0 or not given. */
  saveResult(id: number, value: string, ttlS?: number | null, options?: { tx?: Transaction }): void {
    this.#core.run("resultSave", options?.tx, ...savedResult(id, value, ttlS));
  }

  /** As {@link saveResult}, off the event loop. */
  async saveResultAsync(id: number, value: string, ttlS?: number | null, options?: { tx?: Transaction }): Promise<void> {
    await this.#core.runAsync("resultSave", options?.tx, ...savedResult(id, value, ttlS));
  }

  /** The result of a job; null if there is none. */
  getResult(id: number): string | null {
    const found = this.#core.run("resultGet", undefined, integer(id, "id"));
    return typeof found === "string" ? found : null;
  }

  /** As {@link getResult}, off the event loop. */
  async getResultAsync(id: number): Promise<string | null> {
    const found = await this.#core.runAsync("resultGet", undefined, integer(id, "id"));
    return typeof found === "string" ? found : null;
  }

  /**
   * The result of a job, as soon as there is one. A job that dies never has one.
   *
   * @throws TimeoutError when the time is over
   */
  waitResult(id: number, options?: WaitResultOptions): Promise<string> {
    return waitResult(this.#core, id, options);
  }

  /** Deletes expired results; how many that were. */
  sweepResults(): number {
    return this.#core.run("resultSweep", undefined);
  }

  /** As {@link sweepResults}, off the event loop. */
  async sweepResultsAsync(): Promise<number> {
    return this.#core.runAsync("resultSweep", undefined);
  }

  /** Takes a lock for `ttlS` seconds; null if somebody else has it. Without an owner it is one that nobody else is. */
  tryLock(name: string, owner: string | null | undefined, ttlS: number): Lock | null {
    const args = lockArguments(name, owner, ttlS);
    return this.#core.run("lockAcquire", undefined, ...args) === 0 ? new Lock(this.#core, args[0], args[1]) : null;
  }

  /** As {@link tryLock}, off the event loop. */
  async tryLockAsync(name: string, owner: string | null | undefined, ttlS: number): Promise<Lock | null> {
    const args = lockArguments(name, owner, ttlS);
    const taken = (await this.#core.runAsync("lockAcquire", undefined, ...args)) === 0;
    return taken ? new Lock(this.#core, args[0], args[1]) : null;
  }

  /** Counts one use if there were fewer than `limit` in this window of `per` seconds: whether it did. */
  tryRateLimit(name: string, limit: number, per: number): boolean {
    return this.#core.run("rateLimitTry", undefined, ...rateArguments(name, limit, per)) === 0;
  }

  /** As {@link tryRateLimit}, off the event loop. */
  async tryRateLimitAsync(name: string, limit: number, per: number): Promise<boolean> {
    return (await this.#core.runAsync("rateLimitTry", undefined, ...rateArguments(name, limit, per))) === 0;
  }

  /** Deletes the counts of windows that began more than so many seconds ago; how many that were. */
  sweepRateLimits(olderThanS = 3600): number {
    return this.#core.run("rateLimitSweep", undefined, integer(olderThanS, "olderThanS"));
  }

  /** As {@link sweepRateLimits}, off the event loop. */
  async sweepRateLimitsAsync(olderThanS = 3600): Promise<number> {
    return this.#core.runAsync("rateLimitSweep", undefined, integer(olderThanS, "olderThanS"));
  }

  // --- Looking at it. ---

  /** The jobs of the file, in whichever state. */
  get jobs(): Jobs {
    return new Jobs(this.#core);
  }

  /** Every queue that has a job or settings, with its settings. */
  queues(): QueueInfo[] {
    return camelKeys(decode(this.#core.run("queues", undefined))) as QueueInfo[];
  }

  /** As {@link queues}, off the event loop. */
  async queuesAsync(): Promise<QueueInfo[]> {
    return camelKeys(decode(await this.#core.runAsync("queues", undefined))) as QueueInfo[];
  }

  /** Counters, histograms and depths of each queue; reads the indexes of all jobs. */
  metrics(): Metrics {
    return camelKeys(decode(this.#core.run("metrics", undefined))) as Metrics;
  }

  /** As {@link metrics}, off the event loop. */
  async metricsAsync(): Promise<Metrics> {
    return camelKeys(decode(await this.#core.runAsync("metrics", undefined))) as Metrics;
  }

  /** The state of this database: watcher, connections, versions, warnings. */
  status(): Record<string, unknown> {
    return camelKeys(decode(this.#core.run("status", undefined))) as Record<string, unknown>;
  }

  /** Ends what runs or waits on this database now, with an error of the code HONKER_INTERRUPTED. */
  interrupt(): void {
    this.#core.run("interrupt", undefined);
    this.#core.dispatcher.interrupt();
  }
}

/** What is to be opened, and how. */
function prepare(path: string, given: OpenOptions | undefined): [Core, unknown[]] {
  text(path, "path");
  const options = checked(given, known, "options of open");
  const packed = packOpen(options);
  return [new Core(path, options.libraryPath ?? undefined, packed[0]), packed];
}

function savedResult(id: number, value: string, ttlS: number | null | undefined): unknown[] {
  return [integer(id, "id"), text(value, "value"), optionalInteger(ttlS, "ttlS") ?? 0];
}

function lockArguments(name: string, owner: string | null | undefined, ttlS: number): [string, string, number | bigint] {
  return [text(name, "name"), text(owner ?? `${process.pid}-${randomUUID()}`, "owner"), integer(ttlS, "ttlS")];
}

function rateArguments(name: string, limit: number, per: number): unknown[] {
  return [text(name, "name"), positive(limit, "limit"), positive(per, "per")];
}

function pruning(olderThanS: unknown, maxKeep: unknown): unknown[] {
  const keep = optionalInteger(maxKeep, "maxKeep");
  if (keep !== undefined && keep < 0) throw rangeError("maxKeep must not be negative: max_keep must not be negative");
  return [optionalInteger(olderThanS, "olderThanS"), keep];
}
