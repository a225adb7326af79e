import { options as checked, fallbackMs, functionOf, integer, positive, text } from "./check.js";
import { type Core, Resident } from "./core.js";
import type { EnqueueOptions } from "./enqueue.js";
import { Feed } from "./feed.js";
import { type Job, jobsOf } from "./job.js";
import { discardOf } from "./outcome.js";
import type { Queue } from "./queue.js";
import type { Transaction } from "./transaction.js";
import { defaultLogger, type Logger, pause, Trouble } from "./trouble.js";

/** How an outbox delivers. */
export interface OutboxOptions {
  /** How long a delivery may take, in seconds, before it goes to another worker. Default 60. */
  visibilityTimeoutS?: number;
  /** How often one is tried. Default 5. */
  maxAttempts?: number;
  /** How long, in seconds, the first retry waits; each further one twice as long as the one before. Default 5. */
  baseBackoffS?: number;
}

/** Delivers a payload: what it throws at is tried again, unless that is a {@link Discard}. */
export type Delivery<P = unknown> = (payload: P, job: Job<P>) => unknown;

/** @internal */
export const outboxKeys = new Set(["visibilityTimeoutS", "maxAttempts", "baseBackoffS"]);

/** What was written for somebody else, to be delivered at least once; made by {@link Database.outbox}. */
export class Outbox<P = unknown> extends Resident {
  readonly #core: Core;
  readonly name: string;
  /** The queue that it is. */
  readonly queue: Queue<P>;
  readonly #delivery: Delivery<P>;
  readonly #options: Required<OutboxOptions>;

  /** @internal */
  constructor(
    core: Core,
    name: string,
    queue: (name: string, maxAttempts: number) => Queue<P>,
    delivery: Delivery<P>,
    given?: OutboxOptions,
  ) {
    super();
    const options = checked(given, outboxKeys, "options of an outbox");
    this.#core = core;
    this.name = text(name, "name");
    this.#delivery = functionOf(delivery, "delivery");
    this.#options = {
      visibilityTimeoutS: integer(options.visibilityTimeoutS ?? 60, "visibilityTimeoutS") as number,
      maxAttempts: positive(options.maxAttempts ?? 5, "maxAttempts"),
      baseBackoffS: integer(options.baseBackoffS ?? 5, "baseBackoffS") as number,
    };
    this.queue = queue(`_outbox:${name}`, this.#options.maxAttempts);
  }

  /** As {@link Queue.enqueue}. */
  enqueue(payload: P, options?: EnqueueOptions): number {
    return this.queue.enqueue(payload, options);
  }

  /** As {@link Queue.enqueueAsync}. */
  enqueueAsync(payload: P, options?: EnqueueOptions): Promise<number> {
    return this.queue.enqueueAsync(payload, options);
  }

  /** As {@link Queue.enqueueTx}. */
  enqueueTx(tx: Transaction, payload: P, options?: EnqueueOptions): number {
    return this.queue.enqueueTx(tx, payload, options);
  }

  /** As {@link Queue.enqueueTxAsync}. */
  enqueueTxAsync(tx: Transaction, payload: P, options?: EnqueueOptions): Promise<number> {
    return this.queue.enqueueTxAsync(tx, payload, options);
  }

  /** Delivers one, if there is one: whether there was. */
  async runOnce(worker: string): Promise<boolean> {
    const feed = this.#feed(worker, 5000);
    try {
      return await feed.one(0);
    } finally {
      feed.close();
    }
  }

  /** Delivers one after the other until the signal is aborted or the database closed. Errors that pass are waited out. */
  async runWorker(
    worker: string,
    options?: { idlePollS?: number | null; signal?: AbortSignal; logger?: Logger | null },
  ): Promise<void> {
    const { idlePollS, signal, logger } = checked(
      options,
      new Set(["idlePollS", "signal", "logger"]),
      "options of runWorker",
    );
    const feed = this.#feed(worker, fallbackMs(idlePollS, "idlePollS", 5), signal);
    const trouble = new Trouble(logger ?? defaultLogger, `the outbox ${this.name}`);
    try {
      while (!feed.closed) {
        try {
          await feed.one();
          trouble.over();
        } catch (error) {
          if (!trouble.passes(error)) throw error;
          await pause(trouble.met(error), signal);
        }
      }
    } finally {
      feed.close();
    }
  }

  #feed(worker: string, ms: number, signal?: AbortSignal): OutboxFeed<P> {
    const { visibilityTimeoutS, baseBackoffS } = this.#options;
    const args = [this.name, text(worker, "worker"), [visibilityTimeoutS, baseBackoffS, ms]];
    return new OutboxFeed<P>(this.#core, args, this.#delivery, signal);
  }
}

class OutboxFeed<P> extends Feed<Job<P>> {
  readonly #delivery: Delivery<P>;

  constructor(core: Core, args: unknown[], delivery: Delivery<P>, signal?: AbortSignal) {
    super(core, (token) => core.run("outboxNew", undefined, token, ...args), signal);
    this.#delivery = delivery;
  }

  protected override async look(): Promise<Job<P> | undefined> {
    return jobsOf<P>(this.core, await this.core.runAsync("outboxNext", undefined, this.handle))[0];
  }

  async one(ms?: number): Promise<boolean> {
    const job = await this.take(undefined, ms);
    if (job === undefined) return false;
    // The signal may end the feed meanwhile; the delivery is told all the same, as the claim it is.
    let failure: string | undefined;
    let dead = false;
    try {
      await this.#delivery(job.payload, job);
    } catch (error) {
      const discard = discardOf(error);
      dead = discard !== undefined;
      failure = discard ? discardText(error, discard) : errorText(error);
    }
    if (this.closed && this.core.closed) return true;
    if (failure === undefined) await job.ackAsync();
    else if (dead) await job.failAsync(failure);
    else if (this.closed) await job.retryAsync(0, failure);
    else await this.core.runAsync("outboxFailed", undefined, this.handle, job.id, job.attempts, failure);
    return true;
  }
}

/** @internal What an error says, with its stack; in what a text of the database may be. */
export function errorText(error: unknown): string {
  let said: string;
  try {
    said = error instanceof Error ? (error.stack ?? String(error)) : String(error);
  } catch {
    said = "an error that says nothing";
  }
  return said.replaceAll("\u0000", "\ufffd").toWellFormed().slice(0, 16_384);
}

/** @internal The same of one that is discarded by what has caused the error: both. */
export const discardText = (error: unknown, discard: unknown): string =>
  discard === error ? errorText(error) : errorText(`${errorText(error)}\ncaused by ${errorText(discard)}`);
