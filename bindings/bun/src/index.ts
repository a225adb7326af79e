import "./surface.js";
import { optionalText } from "../../node/src/check.js";
import { Database as NodeDatabase } from "../../node/src/database.js";
import type * as node from "../../node/src/index.js";

export * from "../../node/src/index.js";

// The types of surface.ts. An intersection has the methods of both; of those that both have, the first is taken.

/** How a database is opened. */
export interface OpenOptions extends node.OpenOptions {
  /** Ignored: libhonker brings its own SQLite. */
  sqliteLibPath?: string | null;
}

/** An open transaction. */
export type Transaction = {
  /** Whether it was committed or rolled back. */
  readonly done: boolean;
  /** Runs one statement; its first row, or null. */
  query<R extends object = node.Row>(sql: string, params?: readonly node.SqlValue[]): R | null;
  /** As `query`, off the event loop. */
  queryAsync<R extends object = node.Row>(sql: string, params?: readonly node.SqlValue[]): Promise<R | null>;
  /** Runs one statement; all its rows. */
  queryAll<R extends object = node.Row>(sql: string, params?: readonly node.SqlValue[]): R[];
  /** As `queryAll`, off the event loop. */
  queryAllAsync<R extends object = node.Row>(sql: string, params?: readonly node.SqlValue[]): Promise<R[]>;
} & node.Transaction;

/** One notification. */
export type Notification<P = unknown> = node.Notification<P> & {
  /** Unix seconds. */
  created_at: number;
};

/** One event of a stream. */
export type StreamEvent<P = unknown> = node.StreamEvent<P> & {
  /** Unix seconds. */
  created_at: number;
};

/** What gives one thing after the other, when it comes. */
type Gives<T, F> = { next(): Promise<IteratorResult<T, undefined>>; [Symbol.asyncIterator](): AsyncIterator<T> } & F;

export type Listener<P = unknown> = Gives<Notification<P>, node.Listener<P>>;
export type Subscription<P = unknown> = Gives<StreamEvent<P>, node.Subscription<P>>;

/** `pollMs` is ignored wherever it is taken: nothing polls. */
export interface ListenOptions extends node.ListenOptions {
  pollMs?: number;
}
export interface SubscribeOptions extends node.SubscribeOptions {
  idlePollS?: number | null;
  pollMs?: number;
}

/** Waits for the next job of a queue, for whichever worker asks. */
export type ClaimWaker<P = unknown> = {
  /** A job if there is one now, without waiting; else null. */
  tryNext(worker: string): node.Job<P> | null;
} & node.ClaimWaker<P>;

/** A queue of the file. */
export type Queue<P = unknown> = {
  /** What waits for the next job, for several workers. */
  claimWaker(options?: { idlePollS?: number | null; pollMs?: number }): ClaimWaker<P>;
} & node.Queue<P>;

/** A topic of the file. */
export type Stream<P = unknown> = {
  readSince(offset: number, limit?: number): StreamEvent<P>[];
  readSinceAsync(offset: number, limit?: number): Promise<StreamEvent<P>[]>;
  readFromConsumer(consumer: string, limit?: number): StreamEvent<P>[];
  readFromConsumerAsync(consumer: string, limit?: number): Promise<StreamEvent<P>[]>;
  /** The events in order, those that are there and then those that come. */
  subscribe(consumer?: string | null, options?: SubscribeOptions): Subscription<P>;
} & node.Stream<P>;

/** The schedules of a file. */
export type Scheduler = {
  /** Fires the schedules until the signal is aborted or the database is closed; of all who run one leads. */
  run(options: { owner: string; signal?: AbortSignal; logger?: node.Logger | null }): Promise<void>;
} & node.Scheduler;

/** An open database: what the Node package's has, with the forms of this package. */
export type Database = {
  /** Begins a transaction that may write. */
  transaction(): Transaction;
  transactionAsync(): Promise<Transaction>;
  withTransaction<T>(fn: (tx: Transaction) => T): T;
  withTransactionAsync<T>(fn: (tx: Transaction) => T | Promise<T>): Promise<T>;
  /** Sends a notification to the listeners of a channel, in a transaction if one is given; its id. */
  notify(channel: string, payload: unknown, options?: { tx?: node.Transaction | null }): number;
  notifyAsync(channel: string, payload: unknown, options?: { tx?: node.Transaction | null }): Promise<number>;
  queue<P = unknown>(name: string, options?: node.QueueOptions): Queue<P>;
  stream<P = unknown>(name: string): Stream<P>;
  listen<P = unknown>(channel: string, options?: ListenOptions): Listener<P>;
  scheduler(): Scheduler;
} & node.Database;

/**
 * Opens a SQLite file, creating it if need be, and brings honker's tables in it up to date. `extensionPath` may name libhonker; the
 * one that came with the package is the default.
 */
export function open(path: string, options?: OpenOptions): Database;
export function open(path: string, extensionPath?: string | null, options?: OpenOptions): Database;
export function open(path: string, second?: string | OpenOptions | null, third?: OpenOptions): Database {
  return new NodeDatabase(path, openOptions(second, third)) as unknown as Database;
}

/** As {@link open}, off the event loop. */
export function openAsync(path: string, options?: OpenOptions): Promise<Database>;
export function openAsync(path: string, extensionPath?: string | null, options?: OpenOptions): Promise<Database>;
export async function openAsync(
  path: string,
  second?: string | OpenOptions | null,
  third?: OpenOptions,
): Promise<Database> {
  return (await NodeDatabase.openAsync(path, openOptions(second, third))) as unknown as Database;
}

function openOptions(second: string | OpenOptions | null | undefined, third: OpenOptions | undefined): node.OpenOptions {
  const named = typeof second === "object" && second !== null ? undefined : optionalText(second, "extensionPath");
  const { sqliteLibPath: _, ...options } = (typeof second === "object" ? second : third) ?? third ?? {};
  return named === undefined ? options : { ...options, libraryPath: named };
}
