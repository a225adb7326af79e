import { shown, text } from "./check.js";
import { type Core, friends, Resident } from "./core.js";
import { misuse, typeError } from "./errors.js";
import { encode } from "./json.js";
import type { Handle } from "./native.js";

/** A value that SQL takes. Whole numbers are stored as integers; {@link Real} makes a real of one. */
export type SqlValue = null | undefined | boolean | number | bigint | string | Uint8Array | Real;

/** A number that is stored as a real, also if it is whole. */
export class Real {
  constructor(readonly value: number) {
    if (typeof value !== "number") throw typeError(`value must be a number, not ${shown(value)}`);
  }
}
/** A row, by the names of its columns. Integers that a number does not hold exactly are bigints, blobs are Buffers. */
export type Row = Record<string, null | number | bigint | string | Buffer>;

/** @internal The parameters of a statement, as a positional array. */
export function parameters(params: unknown): readonly unknown[] | undefined {
  if (params === undefined || params === null) return undefined;
  if (!Array.isArray(params)) throw typeError("params must be an array, one value for each ? of the statement");
  return params.map((one, i) => {
    if (typeof one === "string") return text(one, `params[${i}]`);
    return one instanceof Real ? Float64Array.of(one.value) : one;
  });
}

/** @internal */
export function rowsOf([names, values, count]: [string[], Row[string][], number]): Row[] {
  const rows: Row[] = [];
  for (let i = 0, at = 0; i < count; i++) {
    const row: Row = {};
    for (const name of names) row[name] = values[at++] as Row[string];
    rows.push(row);
  }
  return rows;
}

/**
 * An open transaction: SQL of yours and honker's operations, committed together or not at all. It holds the only writer of the
 * file, so it should be over soon. One that is dropped is rolled back, sooner or later; `using tx = db.transaction()` does that
 * at the end of the block.
 */
export class Transaction extends Resident implements Disposable {
  readonly #core: Core;
  readonly #handle: Handle;
  #finished = false;
  #running = 0;

  /** @internal */
  constructor(core: Core, handle: Handle) {
    super();
    this.#core = core;
    this.#handle = handle;
  }

  static {
    friends.handleOf = (tx, core, alone) => {
      if (!(tx instanceof Transaction)) throw typeError("tx must be a Transaction");
      if (tx.#core !== core) throw misuse("the transaction is of another database");
      return tx.#use(alone);
    };
    friends.running = (tx, by) => {
      tx.#running += by;
    };
  }

  #use(alone: boolean): Handle {
    this.#core.check();
    if (this.#finished) throw misuse("transaction already finished");
    if (alone && this.#running > 0) throw misuse("an asynchronous call of this transaction is running: await it first");
    return this.#handle;
  }

  /** Whether it was committed or rolled back. */
  get finished(): boolean {
    return this.#finished;
  }

  /** Runs one statement; how many rows it inserted, updated or deleted. */
  execute(sql: string, params?: readonly SqlValue[]): number {
    return this.#core.run("txExecute", this, text(sql, "sql"), parameters(params));
  }

  /** As {@link execute}, off the event loop. */
  async executeAsync(sql: string, params?: readonly SqlValue[]): Promise<number> {
    return this.#core.runAsync("txExecute", this, text(sql, "sql"), parameters(params));
  }

  /** Runs one statement; its rows. */
  query<R extends object = Row>(sql: string, params?: readonly SqlValue[]): R[] {
    return rowsOf(this.#core.run("txQuery", this, text(sql, "sql"), parameters(params))) as R[];
  }

  /** As {@link query}, off the event loop. */
  async queryAsync<R extends object = Row>(sql: string, params?: readonly SqlValue[]): Promise<R[]> {
    return rowsOf(await this.#core.runAsync("txQuery", this, text(sql, "sql"), parameters(params))) as R[];
  }

  /** Sends a notification, which listeners see when this is committed; its id. */
  notify(channel: string, payload: unknown): number {
    return this.#core.run("notify", this, text(channel, "channel"), encode(payload));
  }

  /** As {@link notify}, off the event loop. */
  async notifyAsync(channel: string, payload: unknown): Promise<number> {
    return this.#core.runAsync("notify", this, text(channel, "channel"), encode(payload));
  }

  /**
   * Commits. If that fails nothing of it has happened; either way it is over. Does nothing after it was committed or rolled back.
   */
  commit(): void {
    if (this.#finished) return;
    const handle = this.#use(true);
    this.#finished = true;
    this.#core.addon.call(this.#core.handle, this.#core.operations.txCommit, handle);
  }

  /** As {@link commit}, off the event loop. */
  async commitAsync(): Promise<void> {
    await this.#end("txCommit");
  }

  /** Rolls back: nothing of it has happened. Does nothing after it was committed or rolled back. */
  rollback(): void {
    if (this.#finished || this.#core.closed) {
      this.#finished = true;
      return;
    }
    const handle = this.#use(true);
    this.#finished = true;
    this.#core.addon.call(this.#core.handle, this.#core.operations.txRollback, handle);
  }

  /** As {@link rollback}, off the event loop. */
  async rollbackAsync(): Promise<void> {
    await this.#end("txRollback");
  }

  async #end(how: "txCommit" | "txRollback"): Promise<void> {
    if (this.#finished || (how === "txRollback" && this.#core.closed)) return;
    const ending = this.#core.runAsync(how, this);
    this.#finished = true;
    await ending;
  }

  /** The native handle, for nothing but comparing. */
  raw(): object {
    return this.#handle;
  }

  /** Rolls back what is open. */
  [Symbol.dispose](): void {
    if (this.#finished || this.#core.closed) return;
    this.#finished = true;
    this.#core.addon.free(this.#handle);
  }
}
