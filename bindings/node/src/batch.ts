import { options as checked, optionalInteger } from "./check.js";
import { type Core, Resident } from "./core.js";
import type { JobSpec } from "./enqueue.js";
import { jobJson } from "./enqueue.js";
import { camelKeys } from "./json.js";
import type { Transaction } from "./transaction.js";

/** What is enqueued when a batch has ended, and for how long it can be looked at. */
export interface BatchOptions {
  /** Enqueued when its last job has ended, whichever way. */
  onFinished?: JobSpec;
  /** Enqueued when all of its jobs are done. */
  onSuccess?: JobSpec;
  /** For how many seconds it is kept after its end. Default: a day. */
  keepS?: number;
  tx?: Transaction | null;
}

/** What is known of a batch: how many jobs, and whether it is over. */
export interface BatchState {
  total: number;
  pending: number;
  done: number;
  dead: number;
  cancelled: number;
  sealed: boolean;
  /** Unix seconds; null until then. */
  finishedAt: number | null;
}

const known = new Set(["onFinished", "onSuccess", "keepS", "tx"]);

/** @internal */
export function batchJson(given: BatchOptions | undefined): string {
  const { onFinished, onSuccess, keepS } = checked(given, known, "options of a batch");
  return JSON.stringify({
    on_finished: onFinished === undefined ? undefined : jobJson(onFinished),
    on_success: onSuccess === undefined ? undefined : jobJson(onSuccess),
    keep_s: optionalInteger(keepS, "keepS"),
  });
}

/** Jobs that are waited for together. They join it with the option `batch` of whatever enqueues. */
export class Batch extends Resident {
  readonly #core: Core;
  readonly id: number;

  /** @internal */
  constructor(core: Core, id: number) {
    super();
    this.#core = core;
    this.id = id;
  }

  /**
   * From now on only its running members may add jobs to it (option `member`), and with the last of its jobs it is over; at once
   * if none is pending. `false` if it was sealed before.
   */
  seal(options?: { tx?: Transaction }): boolean {
    return this.#core.run("batchSeal", options?.tx, this.id) === 0;
  }

  /** As {@link seal}, off the event loop. */
  async sealAsync(options?: { tx?: Transaction }): Promise<boolean> {
    return (await this.#core.runAsync("batchSeal", options?.tx, this.id)) === 0;
  }

  /** What is known of it; null if there is none of this id any more. */
  get(options?: { tx?: Transaction }): BatchState | null {
    return this.#state(this.#core.run("batchGet", options?.tx, this.id));
  }

  /** As {@link get}, off the event loop. */
  async getAsync(options?: { tx?: Transaction }): Promise<BatchState | null> {
    return this.#state(await this.#core.runAsync("batchGet", options?.tx, this.id));
  }

  #state(answer: unknown): BatchState | null {
    return typeof answer === "string" ? (camelKeys(JSON.parse(answer)) as BatchState) : null;
  }
}
