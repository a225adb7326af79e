// What all parts of an open database share: how the library is called, and whom to tell that it was closed.

import { shown } from "./check.js";
import { Dispatcher } from "./dispatcher.js";
import { closedError, HonkerError, misuse, typeError } from "./errors.js";
import { type Addon, type Handle, native, type Operation } from "./native.js";
import type { Transaction } from "./transaction.js";

/** @internal The handle of a transaction that is to be part of a call; set by transaction.ts. */
export const friends: {
  handleOf: (tx: Transaction, core: Core, alone: boolean) => Handle;
  running: (tx: Transaction, by: number) => void;
} = {
  handleOf: () => {
    throw misuse("no transactions");
  },
  running: () => {},
};

/** @internal */
export class Core {
  readonly addon: Addon;
  readonly operations: Record<Operation, number>;
  readonly handle: Handle;
  readonly dispatcher: Dispatcher;
  closed = false;

  constructor(
    readonly path: string,
    libraryPath: string | undefined,
    busyTimeoutMs: number,
  ) {
    this.addon = native(libraryPath);
    this.operations = this.addon.operations;
    this.handle = this.addon.database(busyTimeoutMs);
    this.dispatcher = new Dispatcher(this);
  }

  /** Opens the file, before anything else is called. */
  open(options: unknown[]): void {
    try {
      this.run("open", undefined, this.path, ...options);
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** As `open`, off the event loop. */
  async openAsync(options: unknown[]): Promise<void> {
    try {
      await this.runAsync("open", undefined, this.path, ...options);
    } catch (error) {
      this.close();
      throw error;
    }
  }

  check(): void {
    if (this.closed) throw closedError();
  }

  /** The handle of a transaction; `alone` for a call of this thread's, beside which the database's may not use it. */
  tx(tx: Transaction | null | undefined, alone = true): Handle | undefined {
    if (this.closed) throw closedError();
    return tx === undefined || tx === null ? undefined : friends.handleOf(tx, this, alone);
  }

  // biome-ignore lint/suspicious/noExplicitAny: what an operation answers is known where it is called
  run(operation: Operation, tx: Transaction | null | undefined, ...args: unknown[]): any {
    return this.addon.call(this.handle, this.operations[operation], this.tx(tx), ...args);
  }

  // biome-ignore lint/suspicious/noExplicitAny: as above
  async runAsync(operation: Operation, tx: Transaction | null | undefined, ...args: unknown[]): Promise<any> {
    const submitted = this.addon.submit(this.handle, this.operations[operation], this.tx(tx, false), ...args);
    if (tx) friends.running(tx, 1);
    const answer = await submitted;
    if (tx) friends.running(tx, -1);
    // An error of the thread's has no stack; here it gets that of who awaits.
    if (answer instanceof HonkerError) {
      // What was running when the database was closed may find nothing there.
      const error = this.closed && answer.code === "HONKER_MISUSE" ? closedError() : answer;
      Error.captureStackTrace(error);
      throw error;
    }
    return answer;
  }

  close(): void {
    if (this.closed) return;
    this.closed = true;
    this.dispatcher.over();
    this.addon.close(this.handle);
  }

  async closeAsync(): Promise<void> {
    if (this.closed) return;
    const closing = this.runAsync("close", undefined);
    this.closed = true;
    this.dispatcher.over();
    try {
      await closing;
    } finally {
      this.addon.close(this.handle);
    }
  }
}

const uncloneable: ((value: object) => void) | undefined = (() => {
  try {
    return require("node:worker_threads").markAsUncloneable;
  } catch {
    return undefined;
  }
})();

function cannotBeCloned(): never {
  throw misuse("this belongs to the thread that opened the database: open it again there");
}

/**
 * @internal What stands for something in this thread: postMessage and structuredClone throw a DataCloneError instead of making
 * an empty object of it, and so does JSON, by which child processes are sent messages.
 */
export function stay(value: object): void {
  if (uncloneable) uncloneable(value);
  // Before Node 22.10 nothing but a function makes a clone fail.
  else (value as { cannotBeCloned: () => never }).cannotBeCloned = cannotBeCloned;
}

/** What belongs to the thread that opened its database. It cannot be cloned, sent, or written as JSON. */
export abstract class Resident {
  constructor() {
    stay(this);
  }

  /** @internal */
  toJSON(): never {
    throw typeError(`a ${this.constructor.name} cannot be sent to another process: open the database again there`);
  }
}

/** @internal */
export function instanceOf<T>(value: unknown, type: abstract new (...args: never[]) => T, name: string): T {
  if (value instanceof type) return value;
  throw typeError(`${name} must be a ${type.name}, not ${shown(value)}`);
}
