import { options as checked, fallbackMs, integer, positive, shown, text } from "./check.js";
import { ClaimIterator, ClaimWaker } from "./claim.js";
import { type Core, Resident } from "./core.js";
import {
  checkEnqueueOptions,
  type Enqueued,
  type EnqueueHook,
  type EnqueueOptions,
  enqueuedOf,
  type JobOptions,
  manyOf,
  packOptions,
} from "./enqueue.js";
import { typeError } from "./errors.js";
import { type Job, jobsOf } from "./job.js";
import { camelKeys, decode, encode, payloadOf, snakeKeys } from "./json.js";
import type { Transaction } from "./transaction.js";

/** How a handle of a queue claims and enqueues. */
export interface QueueOptions {
  /** For how many seconds a claim is its holder's. Default 300. */
  visibilityTimeoutS?: number;
  /** How often jobs that it enqueues may be claimed. Default: what is set for the queue, or else 3. */
  maxAttempts?: number;
}

/** How often somebody who waits looks without having been woken: seconds, default 5; null for never. */
export interface ClaimOptions {
  idlePollS?: number | null;
  /** Ends the waiting. */
  signal?: AbortSignal;
}

/** One job as it is in the file. */
export interface JobRecord {
  id: number;
  queue: string;
  payload: unknown;
  state: "pending" | "processing";
  priority: number;
  runAt: number;
  workerId: string | null;
  claimExpiresAt: number | null;
  attempts: number;
  maxAttempts: number;
  createdAt: number;
  expiresAt: number | null;
  metadata?: Record<string, string> | null;
  /** The stored text of the payload. */
  readonly payloadText: string;
}

/** A job that was given up. */
export interface DeadJob {
  id: number;
  queue: string;
  payload: unknown;
  priority: number;
  runAt: number;
  attempts: number;
  maxAttempts: number;
  lastError: string | null;
  createdAt: number;
  diedAt: number;
  /** The stored text of the payload. */
  readonly payloadText: string;
}

/** The dead by what they died of: a text in which # stands for a number, how many, and the one that died last. */
export interface DeadGroup {
  error: string | null;
  count: number;
  newest: DeadJob;
}

/** What holds for a queue, in every process. Null sets a value back to its default. */
export interface QueueSettings {
  paused?: boolean | null;
  /** How many claims may be valid at a time. */
  concurrency?: number | null;
  /** The same of jobs with one concurrency key. */
  concurrencyPerKey?: number | null;
  /** How many claims there may be in each window of so many seconds. */
  rate?: { limit: number; perS: number } | null;
  maxAttempts?: number | null;
  /** When a job is tried again whose settlement does not say. */
  retry?: { baseS: number; factor: number; maxS: number; jitter: number } | null;
  /** For how many seconds done jobs are kept. */
  keepDoneS?: number | null;
  /** For how many seconds dead ones are. */
  keepDeadS?: number | null;
}

/** How many jobs a queue has. */
export interface QueueStats {
  queue: string;
  pending: number;
  delayed: number;
  claimed: number;
  expired: number;
  dead: number;
}

const known = new Set(["visibilityTimeoutS", "maxAttempts"]);
const asIs: ReadonlySet<string> = new Set(["metadata"]);

/** @internal A job as the library writes it, its payload decoded. */
export function recordOf<T>(record: Record<string, unknown>): T {
  const { payload, ...rest } = record;
  const made = { ...(camelKeys(rest, asIs) as object), payload: payloadOf(payload as string) };
  return Object.defineProperty(made, "payloadText", { value: payload }) as T;
}

/** A queue of the file; made by {@link Database.queue}. */
export class Queue<P = unknown> extends Resident {
  readonly #core: Core;
  readonly #hooks: readonly EnqueueHook[];
  readonly name: string;
  /** For how many seconds its claims are valid. */
  readonly visibilityTimeoutS: number;
  readonly #maxAttempts: number | undefined;

  /** @internal */
  constructor(core: Core, hooks: readonly EnqueueHook[], name: string, given: QueueOptions | undefined) {
    super();
    const options = checked(given, known, "options of a queue");
    this.#core = core;
    this.#hooks = hooks;
    this.name = text(name, "name");
    this.visibilityTimeoutS = integer(options.visibilityTimeoutS ?? 300, "visibilityTimeoutS") as number;
    this.#maxAttempts =
      options.maxAttempts === undefined || options.maxAttempts === null
        ? undefined
        : positive(options.maxAttempts, "maxAttempts");
  }

  // --- Enqueueing. ---

  /** Adds jobs with the same options, all or none, in one commit; their ids. */
  enqueueMany(payloads: readonly P[], options?: EnqueueOptions): number[] {
    const { tx, ...given } = checkEnqueueOptions(options);
    return manyOf(this.#core.run("enqueueMany", tx, this.#many(payloads, given))).map((one) => one.id);
  }

  /** As {@link enqueueMany}, off the event loop. */
  async enqueueManyAsync(payloads: readonly P[], options?: EnqueueOptions): Promise<number[]> {
    const { tx, ...given } = checkEnqueueOptions(options);
    return manyOf(await this.#core.runAsync("enqueueMany", tx, this.#many(payloads, given))).map((one) => one.id);
  }

  #many(payloads: readonly P[], given: JobOptions): unknown[] {
    if (!Array.isArray(payloads)) throw typeError(`payloads must be an array, not ${shown(payloads)}`);
    const packed = packOptions(given, this.#maxAttempts);
    return payloads.flatMap((payload, i) => {
      const call = { queue: this.name, payload, options: { ...given } };
      if (this.#hooks.length === 0) return [this.name, encode(payload, `payloads[${i}]`), packed];
      let held = true;
      const at = (n: number): unknown => {
        const hook = this.#hooks[n];
        if (hook) return hook(call, () => at(n + 1));
        held = false;
        return undefined;
      };
      at(0);
      return held ? [] : [call.queue, encode(call.payload), packOptions(call.options, this.#maxAttempts)];
    });
  }

  /** Adds a job; its id, or, if it has a unique key that another job has, the id of that. */
  enqueue(payload: P, options?: EnqueueOptions): number {
    const answer = this.#enqueue(payload, options, (tx, ...args) => this.#core.run("enqueue", tx, ...args));
    return (Array.isArray(answer) ? answer[0] : answer) as number;
  }

  /** As {@link enqueue}, off the event loop: it waits for a transaction that is open, or another process that writes. */
  async enqueueAsync(payload: P, options?: EnqueueOptions): Promise<number> {
    const answer = await this.#enqueue(payload, options, (tx, ...args) => this.#core.runAsync("enqueue", tx, ...args));
    return (Array.isArray(answer) ? answer[0] : answer) as number;
  }

  /** As {@link enqueue} in a transaction. */
  enqueueTx(tx: Transaction, payload: P, options?: EnqueueOptions): number {
    return this.enqueue(payload, { ...options, tx: tx ?? missingTx() });
  }

  /** As {@link enqueueTx}, off the event loop. */
  async enqueueTxAsync(tx: Transaction, payload: P, options?: EnqueueOptions): Promise<number> {
    return this.enqueueAsync(payload, { ...options, tx: tx ?? missingTx() });
  }

  /** As {@link enqueue}, for those who want to know what came of it. */
  tryEnqueue(payload: P, options?: EnqueueOptions): Enqueued {
    return enqueuedOf(this.#enqueue(payload, options, (tx, ...args) => this.#core.run("enqueue", tx, ...args)) as number);
  }

  /** As {@link tryEnqueue}, off the event loop. */
  async tryEnqueueAsync(payload: P, options?: EnqueueOptions): Promise<Enqueued> {
    return enqueuedOf(
      (await this.#enqueue(payload, options, (tx, ...args) => this.#core.runAsync("enqueue", tx, ...args))) as number,
    );
  }

  #enqueue(
    payload: unknown,
    options: EnqueueOptions | undefined,
    run: (tx: Transaction | null | undefined, ...args: unknown[]) => unknown,
  ): unknown {
    const { tx, ...given } = options === undefined ? ({} as EnqueueOptions) : checkEnqueueOptions(options);
    if (this.#hooks.length === 0) return run(tx, this.name, encode(payload), packOptions(given, this.#maxAttempts));
    const call = { queue: this.name, payload, options: given };
    const at = (i: number): unknown => {
      const hook = this.#hooks[i];
      if (hook) return hook(call, () => at(i + 1));
      return run(tx, text(call.queue, "queue"), encode(call.payload), packOptions(call.options, this.#maxAttempts));
    };
    return at(0);
  }

  // --- Claiming. ---

  /** Claims the next job, if there is one. */
  claimOne(worker: string): Job<P> | null {
    return this.claimBatch(worker, 1)[0] ?? null;
  }

  /** As {@link claimOne}, off the event loop. */
  async claimOneAsync(worker: string): Promise<Job<P> | null> {
    return (await this.claimBatchAsync(worker, 1))[0] ?? null;
  }

  /** Claims up to `n` jobs in one commit. */
  claimBatch(worker: string, n: number): Job<P>[] {
    const args = this.#claim(worker, n);
    return args ? jobsOf<P>(this.#core, this.#core.run("claim", undefined, ...args)) : [];
  }

  /** As {@link claimBatch}, off the event loop. */
  async claimBatchAsync(worker: string, n: number): Promise<Job<P>[]> {
    const args = this.#claim(worker, n);
    return args ? jobsOf<P>(this.#core, await this.#core.runAsync("claim", undefined, ...args)) : [];
  }

  #claim(worker: string, n: number): unknown[] | undefined {
    const args = [this.name, text(worker, "worker"), integer(n, "n"), this.visibilityTimeoutS];
    this.#core.check();
    return n > 0 ? args : undefined;
  }

  /**
   * Jobs as they come, one for each step; it waits for them without polling. Each is to be settled, and to be prolonged
   * ({@link Job.heartbeat}) if it takes longer than the visibility timeout: {@link Database.worker} does both.
   */
  claim(worker: string, options?: ClaimOptions): ClaimIterator<P> {
    const { idlePollS, signal } = checked(options, new Set(["idlePollS", "signal"]), "options of claim");
    return new ClaimIterator<P>(this.#core, this, text(worker, "worker"), fallbackMs(idlePollS, "idlePollS", 5), signal);
  }

  /** What waits for the next job, for several workers. */
  claimWaker(options?: { idlePollS?: number | null }): ClaimWaker<P> {
    const { idlePollS } = checked(options, new Set(["idlePollS"]), "options of claimWaker");
    return new ClaimWaker<P>(this.#core, this, fallbackMs(idlePollS, "idlePollS", 5));
  }

  /** Acknowledges a job by its id: whether the worker still held it. */
  ack(id: number, worker: string, options?: { tx?: Transaction }): boolean {
    return this.#core.run("ack", options?.tx, integer(id, "id"), text(worker, "worker")) === 0;
  }

  /** As {@link ack}, off the event loop. */
  async ackAsync(id: number, worker: string, options?: { tx?: Transaction }): Promise<boolean> {
    return (await this.#core.runAsync("ack", options?.tx, integer(id, "id"), text(worker, "worker"))) === 0;
  }

  /** As {@link Job.retry}, by the job's id. */
  retry(id: number, worker: string, delayS: number, error = "", options?: { tx?: Transaction }): boolean {
    const args = [integer(id, "id"), text(worker, "worker"), integer(delayS, "delayS"), text(error, "error")];
    return this.#core.run("retry", options?.tx, ...args) === 0;
  }

  /** As {@link retry}, off the event loop. */
  async retryAsync(
    id: number,
    worker: string,
    delayS: number,
    error = "",
    options?: { tx?: Transaction },
  ): Promise<boolean> {
    const args = [integer(id, "id"), text(worker, "worker"), integer(delayS, "delayS"), text(error, "error")];
    return (await this.#core.runAsync("retry", options?.tx, ...args)) === 0;
  }

  /** As {@link Job.fail}, by the job's id. */
  fail(id: number, worker: string, error = "", options?: { tx?: Transaction }): boolean {
    const args = [integer(id, "id"), text(worker, "worker"), text(error, "error")];
    return this.#core.run("fail", options?.tx, ...args) === 0;
  }

  /** As {@link fail}, off the event loop. */
  async failAsync(id: number, worker: string, error = "", options?: { tx?: Transaction }): Promise<boolean> {
    const args = [integer(id, "id"), text(worker, "worker"), text(error, "error")];
    return (await this.#core.runAsync("fail", options?.tx, ...args)) === 0;
  }

  /** As {@link Job.snooze}, by the job's id. */
  release(id: number, worker: string, delayS = 0, options?: { tx?: Transaction }): boolean {
    const args = [integer(id, "id"), text(worker, "worker"), integer(delayS, "delayS")];
    return this.#core.run("release", options?.tx, ...args) === 0;
  }

  /** As {@link release}, off the event loop. */
  async releaseAsync(id: number, worker: string, delayS = 0, options?: { tx?: Transaction }): Promise<boolean> {
    const args = [integer(id, "id"), text(worker, "worker"), integer(delayS, "delayS")];
    return (await this.#core.runAsync("release", options?.tx, ...args)) === 0;
  }

  /** As {@link Job.heartbeat}, by the job's id. */
  heartbeat(id: number, worker: string, extendS: number): boolean {
    const args = [integer(id, "id"), text(worker, "worker"), integer(extendS, "extendS")];
    return this.#core.run("heartbeat", undefined, ...args) === 0;
  }

  /** As {@link heartbeat}, off the event loop. */
  async heartbeatAsync(id: number, worker: string, extendS: number): Promise<boolean> {
    const args = [integer(id, "id"), text(worker, "worker"), integer(extendS, "extendS")];
    return (await this.#core.runAsync("heartbeat", undefined, ...args)) === 0;
  }

  /** What a step of a job was saved with, decoded; undefined if it was not. */
  getStep(id: number, name: string, options?: { tx?: Transaction }): unknown {
    return stepOf(this.#core.run("stepGet", options?.tx, integer(id, "id"), text(name, "name")));
  }

  /** As {@link getStep}, off the event loop. */
  async getStepAsync(id: number, name: string, options?: { tx?: Transaction }): Promise<unknown> {
    return stepOf(await this.#core.runAsync("stepGet", options?.tx, integer(id, "id"), text(name, "name")));
  }

  /**
   * Saves a step of a job, as {@link Job.step} does: what is stored, which is the first one if it was saved before; undefined, and
   * nothing is saved, if the worker does not hold the job.
   */
  saveStep(id: number, worker: string, name: string, value: unknown, options?: { tx?: Transaction }): unknown {
    const args = [integer(id, "id"), text(worker, "worker"), text(name, "name"), encode(value, "value")];
    return stepOf(this.#core.run("stepSave", options?.tx, ...args));
  }

  /** As {@link saveStep}, off the event loop. */
  async saveStepAsync(
    id: number,
    worker: string,
    name: string,
    value: unknown,
    options?: { tx?: Transaction },
  ): Promise<unknown> {
    const args = [integer(id, "id"), text(worker, "worker"), text(name, "name"), encode(value, "value")];
    return stepOf(await this.#core.runAsync("stepSave", options?.tx, ...args));
  }

  /** Acknowledges those of the jobs that the worker still holds, in one commit; how many that were. */
  ackBatch(ids: readonly number[], worker: string): number {
    return this.#core.run("ackBatch", undefined, idsOf(ids), text(worker, "worker"));
  }

  /** As {@link ackBatch}, off the event loop. */
  async ackBatchAsync(ids: readonly number[], worker: string): Promise<number> {
    return this.#core.runAsync("ackBatch", undefined, idsOf(ids), text(worker, "worker"));
  }

  // --- Looking and acting. ---

  /** Removes a job, pending or claimed, of whichever queue: true if there was one. Who runs it is told. */
  cancel(id: number, options?: { tx?: Transaction }): boolean {
    return this.#core.run("cancel", options?.tx, integer(id, "id")) === 0;
  }

  /** As {@link cancel}, off the event loop. */
  async cancelAsync(id: number, options?: { tx?: Transaction }): Promise<boolean> {
    return (await this.#core.runAsync("cancel", options?.tx, integer(id, "id"))) === 0;
  }

  /** A job that is pending or claimed; null if there is none of this id. */
  getJob(id: number): JobRecord | null {
    return this.#record(this.#core.run("getJob", undefined, integer(id, "id")));
  }

  /** As {@link getJob}, off the event loop. */
  async getJobAsync(id: number): Promise<JobRecord | null> {
    return this.#record(await this.#core.runAsync("getJob", undefined, integer(id, "id")));
  }

  #record(answer: unknown): JobRecord | null {
    return typeof answer === "string" ? recordOf<JobRecord>(decode(answer) as Record<string, unknown>) : null;
  }

  /** Moves expired jobs that nobody holds to the dead; how many that were. */
  sweepExpired(): number {
    return this.#core.run("sweepExpired", undefined, this.name);
  }

  /** As {@link sweepExpired}, off the event loop. */
  async sweepExpiredAsync(): Promise<number> {
    return this.#core.runAsync("sweepExpired", undefined, this.name);
  }

  /** As {@link nextClaimAt}, off the event loop. */
  async nextClaimAtAsync(): Promise<number> {
    return (await this.#core.runAsync("nextClaimAt", undefined, this.name)) ?? 0;
  }

  /** When a claim could next succeed without a further commit, in Unix seconds; 0 if there is nothing to wait for. */
  nextClaimAt(): number {
    return this.#core.run("nextClaimAt", undefined, this.name) ?? 0;
  }

  /** How many jobs it has; reads them all. */
  stats(): QueueStats {
    return decode(this.#core.run("queueStats", undefined, this.name)) as QueueStats;
  }

  /** As {@link stats}, off the event loop. */
  async statsAsync(): Promise<QueueStats> {
    return decode(await this.#core.runAsync("queueStats", undefined, this.name)) as QueueStats;
  }

  /** Sets what is given, for every process; what is not given stays. */
  configure(settings: QueueSettings, options?: { tx?: Transaction }): void {
    this.#core.run("queueConfigure", options?.tx, this.name, settingsText(settings));
  }

  /** As {@link configure}, off the event loop. */
  async configureAsync(settings: QueueSettings, options?: { tx?: Transaction }): Promise<void> {
    await this.#core.runAsync("queueConfigure", options?.tx, this.name, settingsText(settings));
  }

  /** What is set for it, and the defaults of the rest. */
  settings(): Required<QueueSettings> {
    return camelKeys(decode(this.#core.run("queueSettings", undefined, this.name))) as Required<QueueSettings>;
  }

  /** As {@link settings}, off the event loop. */
  async settingsAsync(): Promise<Required<QueueSettings>> {
    return camelKeys(decode(await this.#core.runAsync("queueSettings", undefined, this.name))) as Required<QueueSettings>;
  }

  /** No job of it is claimed any more, by anybody; what runs goes on. */
  pause(): void {
    this.configure({ paused: true });
  }

  /** Jobs of it are claimed again. */
  resume(): void {
    this.configure({ paused: false });
  }

  /** Its dead, newest first. */
  dead(limit = 100): DeadJob[] {
    return this.#dead(this.#core.run("deadList", undefined, this.name, integer(limit, "limit")));
  }

  /** As {@link dead}, off the event loop. */
  async deadAsync(limit = 100): Promise<DeadJob[]> {
    return this.#dead(await this.#core.runAsync("deadList", undefined, this.name, integer(limit, "limit")));
  }

  #dead(answer: string): DeadJob[] {
    return (decode(answer) as Record<string, unknown>[]).map((one) => recordOf<DeadJob>(one));
  }

  /** Makes a dead job pending again, with all of its attempts. False if there is none, or its unique key is taken. */
  requeueDead(id: number, options?: { tx?: Transaction }): boolean {
    return this.#core.run("deadRequeue", options?.tx, integer(id, "id")) === 0;
  }

  /** As {@link requeueDead}, off the event loop. */
  async requeueDeadAsync(id: number, options?: { tx?: Transaction }): Promise<boolean> {
    return (await this.#core.runAsync("deadRequeue", options?.tx, integer(id, "id"))) === 0;
  }

  /** Deletes those that died more than so many seconds ago; how many that were. */
  purgeDead(olderThanS: number): number {
    return this.#core.run("deadPurge", undefined, this.name, integer(olderThanS, "olderThanS"));
  }

  /** As {@link purgeDead}, off the event loop. */
  async purgeDeadAsync(olderThanS: number): Promise<number> {
    return this.#core.runAsync("deadPurge", undefined, this.name, integer(olderThanS, "olderThanS"));
  }

  /** Its dead by what they died of, the largest group first; reads them all. */
  deadGroups(): DeadGroup[] {
    return this.#groups(this.#core.run("deadGroups", undefined, this.name));
  }

  /** As {@link deadGroups}, off the event loop. */
  async deadGroupsAsync(): Promise<DeadGroup[]> {
    return this.#groups(await this.#core.runAsync("deadGroups", undefined, this.name));
  }

  #groups(answer: string): DeadGroup[] {
    return (decode(answer) as { error: string | null; count: number; newest: Record<string, unknown> }[]).map((group) => ({
      ...group,
      newest: recordOf<DeadJob>(group.newest),
    }));
  }
}

function stepOf(answer: unknown): unknown {
  return typeof answer === "string" ? payloadOf(answer) : undefined;
}

function missingTx(): never {
  throw typeError("tx must be a Transaction");
}

function settingsText(settings: QueueSettings): string {
  if (settings === null || typeof settings !== "object")
    throw typeError(`settings must be an object, not ${shown(settings)}`);
  return JSON.stringify(snakeKeys(settings));
}

/** As the addon reads them fastest. */
function idsOf(ids: readonly number[]): Float64Array | readonly (number | bigint)[] {
  if (!Array.isArray(ids)) throw typeError(`ids must be an array, not ${shown(ids)}`);
  const packed = new Float64Array(ids.length);
  for (let i = 0; i < ids.length; i++) {
    const id: unknown = ids[i];
    if (typeof id !== "number" || !Number.isSafeInteger(id)) return ids.map((one, n) => integer(one, `ids[${n}]`));
    packed[i] = id;
  }
  return packed;
}
