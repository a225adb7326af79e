import { integer, text } from "./check.js";
import { type Core, stay } from "./core.js";
import { HonkerError, isRefusal, typeError } from "./errors.js";
import { encode, payloadOf } from "./json.js";
import { Discard } from "./outcome.js";
import type { Transaction } from "./transaction.js";

/** Settlements that may be part of a transaction. */
export interface SettleOptions {
  tx?: Transaction;
}

/**
 * @internal What the addon answers of a claim: how many jobs, five numbers of each (id, attempts, when the claim ends, maximum of
 * attempts, serial), payloads, metadata, queues and workers, which stand there once if they are all the same.
 */
export type Claimed = [number, ArrayLike<number>, string[], (string | null)[], string[], string[]];

/** How {@link Job.retry} and {@link Job.snooze} count: whole seconds. */
export const retryDelayS = 60;

/**
 * A job that was claimed, until its claim is over. To settle it answers `true`, or `false` if it is not this worker's any more,
 * because its claim lapsed or it was cancelled; what could not be tried is an error.
 */
export class Job<P = unknown> {
  readonly #core: Core;
  readonly #text: string;
  readonly #metadata: string | null;
  #decoded = false;
  #payload: unknown;
  readonly id: number;
  /** The name of its queue. */
  readonly queue: string;
  /** Who has claimed it. */
  readonly workerId: string;
  /** How often it was claimed, this time included. */
  readonly attempts: number;
  /** How often it may be claimed. */
  readonly maxAttempts: number;
  /** The last second, in Unix time, in which it is this worker's. */
  claimExpiresAt: number;
  /** @internal Names this claim of the job for the worker. */
  readonly serial: number;

  /** @internal The one at `i` of those that were claimed. */
  constructor(core: Core, claimed: Claimed, i: number) {
    const [, numbers, payloads, metadata, queues, workers] = claimed;
    this.#core = core;
    this.id = numbers[i * 5] as number;
    this.queue = (queues[i] ?? queues[0]) as string;
    this.workerId = (workers[i] ?? workers[0]) as string;
    this.attempts = numbers[i * 5 + 1] as number;
    this.maxAttempts = numbers[i * 5 + 3] as number;
    this.claimExpiresAt = numbers[i * 5 + 2] as number;
    this.serial = numbers[i * 5 + 4] as number;
    this.#text = payloads[i] as string;
    this.#metadata = metadata[i] ?? null;
    stay(this);
  }

  #settled = false;

  /** @internal Whether a call of this object has settled it. */
  get isSettled(): boolean {
    return this.#settled;
  }

  /** What it was enqueued with; the text itself if that is no JSON. */
  get payload(): P {
    if (!this.#decoded) {
      this.#payload = payloadOf(this.#text);
      this.#decoded = true;
    }
    return this.#payload as P;
  }

  /** The stored text of the payload. */
  get payloadText(): string {
    return this.#text;
  }

  /** The metadata of the enqueue; empty if there were none. */
  get metadata(): Record<string, string> {
    return this.#metadata === null ? {} : JSON.parse(this.#metadata);
  }

  /** The job is done: removes it. */
  ack(options?: SettleOptions): boolean {
    return this.#note(options, this.#core.run("ack", options?.tx, this.id, this.workerId));
  }

  /** As {@link ack}, off the event loop. */
  async ackAsync(options?: SettleOptions): Promise<boolean> {
    return this.#note(options, await this.#core.runAsync("ack", options?.tx, this.id, this.workerId));
  }

  /** It could not be done now: it is due again in `delayS` seconds; or dead, with the error, if this was its last attempt. */
  retry(delayS: number = retryDelayS, error = "", options?: SettleOptions): boolean {
    return this.#note(options, this.#core.run("retry", options?.tx, ...this.#retry(delayS, error)));
  }

  /** As {@link retry}, off the event loop. */
  async retryAsync(delayS: number = retryDelayS, error = "", options?: SettleOptions): Promise<boolean> {
    return this.#note(options, await this.#core.runAsync("retry", options?.tx, ...this.#retry(delayS, error)));
  }

  /** In a transaction it is settled when that is committed, of which nothing is known here. */
  #note(options: SettleOptions | undefined, status: number): boolean {
    if (status === 0 && !options?.tx) this.#settled = true;
    return status === 0;
  }

  #retry(delayS: number, error: string): unknown[] {
    return [this.id, this.workerId, integer(delayS, "delayS"), text(error, "error")];
  }

  /** It can never be done: it is dead, with the error. */
  fail(error = "", options?: SettleOptions): boolean {
    return this.#note(options, this.#core.run("fail", options?.tx, this.id, this.workerId, text(error, "error")));
  }

  /** As {@link fail}, off the event loop. */
  async failAsync(error = "", options?: SettleOptions): Promise<boolean> {
    const args = [this.id, this.workerId, text(error, "error")];
    return this.#note(options, await this.#core.runAsync("fail", options?.tx, ...args));
  }

  /** It goes back: due again in `delayS` seconds, and this attempt does not count. */
  snooze(delayS: number, options?: SettleOptions): boolean {
    const args = [this.id, this.workerId, integer(delayS, "delayS")];
    return this.#note(options, this.#core.run("release", options?.tx, ...args));
  }

  /** As {@link snooze}, off the event loop. */
  async snoozeAsync(delayS: number, options?: SettleOptions): Promise<boolean> {
    const args = [this.id, this.workerId, integer(delayS, "delayS")];
    return this.#note(options, await this.#core.runAsync("release", options?.tx, ...args));
  }

  /** It goes back at once, for anybody, and this attempt does not count. */
  release(options?: SettleOptions): boolean {
    return this.snooze(0, options);
  }

  /** As {@link release}, off the event loop. */
  releaseAsync(options?: SettleOptions): Promise<boolean> {
    return this.snoozeAsync(0, options);
  }

  /** It takes longer: it is this worker's for `extendS` seconds from now. */
  heartbeat(extendS: number): boolean {
    return this.#core.run("heartbeat", undefined, this.id, this.workerId, integer(extendS, "extendS")) === 0;
  }

  /** As {@link heartbeat}, off the event loop. */
  async heartbeatAsync(extendS: number): Promise<boolean> {
    return (await this.#core.runAsync("heartbeat", undefined, this.id, this.workerId, integer(extendS, "extendS"))) === 0;
  }

  /**
   * Runs `fn` once, however often the job is tried: what it answered is kept in the file, as JSON, and given back the next time.
   *
   * @throws HonkerError with the code HONKER_NOT_FOUND if the job is not this worker's any more; then nothing was kept
   * @throws Discard if what `fn` answered has no JSON (a function, a circle), or more than SQLite takes (a gigabyte); then nothing was
   * kept, and the job of a handler that throws it on is dead, since another attempt would run `fn` again
   */
  async step<T>(name: string, fn: () => T | Promise<T>): Promise<T> {
    const saved = await this.#core.runAsync("stepGet", undefined, this.id, text(name, "name"));
    if (typeof saved === "string") return payloadOf(saved) as T;
    const value = await fn();
    try {
      const args = this.#stepArguments(name, value);
      return this.#stepValue(name, await this.#core.runAsync("stepSave", undefined, ...args)) as T;
    } catch (error) {
      throw notSaved(name, error);
    }
  }

  /**
   * As {@link step}, in a transaction: what `fn` writes there and that the step is done are committed together, exactly once.
   * `fn` must not be asynchronous; the transaction is committed by whoever began it, and is to be rolled back if this throws.
   */
  stepIn<T>(tx: Transaction, name: string, fn: () => T): T {
    const saved = this.#core.run("stepGet", tx, this.id, text(name, "name"));
    if (typeof saved === "string") return payloadOf(saved) as T;
    const value = fn();
    try {
      if (value instanceof Promise) {
        value.catch(() => undefined);
        throw typeError("fn must not be asynchronous");
      }
      const args = this.#stepArguments(name, value);
      return this.#stepValue(name, this.#core.run("stepSave", tx, ...args)) as T;
    } catch (error) {
      throw notSaved(name, error);
    }
  }

  #stepArguments(name: string, value: unknown): unknown[] {
    return [this.id, this.workerId, name, encode(value === undefined ? null : value, `the value of step ${name}`)];
  }

  #stepValue(name: string, answer: unknown): unknown {
    if (typeof answer === "string") return payloadOf(answer);
    throw new HonkerError(-24, `step ${name} was not kept: job ${this.id} is not this worker's any more`);
  }

  /** What it is, for logs; the claim stays here. */
  toJSON(): object {
    const { id, queue, payload, workerId, attempts, maxAttempts, claimExpiresAt, metadata } = this;
    return { id, queue, payload, workerId, attempts, maxAttempts, claimExpiresAt, metadata };
  }
}

/** It has run: for what can never be saved another attempt would run it again, and come to the same. */
function notSaved(name: string, error: unknown): unknown {
  if (!isRefusal(error)) return error;
  return new Discard(`the step ${name} has run, and is not saved: ${(error as Error).message}`, { cause: error });
}

/** @internal Of whatever a claim has answered. */
export function jobsOf<P>(core: Core, claimed: Claimed | number | null): Job<P>[] {
  if (claimed === null || typeof claimed === "number") return [];
  const jobs = new Array<Job<P>>(claimed[0]);
  for (let i = 0; i < claimed[0]; i++) jobs[i] = new Job<P>(core, claimed, i);
  return jobs;
}
