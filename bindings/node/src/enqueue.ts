// What an enqueue takes, and how it is written down for the library.

import { Batch } from "./batch.js";
import { options as checked, choice, instant, integer, optionalInteger, optionalText, shown, text } from "./check.js";
import { rangeError, typeError } from "./errors.js";
import { encode } from "./json.js";
import type { Transaction } from "./transaction.js";

/** Of a job, wherever one is described. Durations are whole seconds. */
export interface JobOptions {
  /** When it becomes due: Unix seconds, or a Date. Default: now. */
  runAt?: number | Date | null;
  /** In how many seconds it becomes due; stronger than `runAt`. */
  delay?: number | null;
  /** Larger is sooner. Default 0. */
  priority?: number | null;
  /** After how many seconds it may not be claimed any more. Default: never. */
  expires?: number | null;
  /** How often it may be claimed. Default: the queue's. */
  maxAttempts?: number | null;
  /** Comes back with the job: texts by names, 8 KiB at most. */
  metadata?: Record<string, string> | null;
  /** Of jobs with the same one, the queue's `concurrencyPerKey` says how many may run at a time. */
  concurrencyKey?: string | null;
  /** The batch it belongs to. */
  batch?: Batch | number | null;
  /** A running job of that batch, on whose behalf this one joins it although it is sealed. */
  member?: { id: number; workerId: string } | null;
  /** There is only one job of the queue with the same key at a time. */
  uniqueKey?: string | null;
  /** Until when it has the key: `settled` (the default), or `claimed`. */
  uniqueUntil?: "settled" | "claimed" | null;
  /** For how many seconds it has the key at least, whatever becomes of it. */
  uniqueForS?: number | null;
  /** What becomes of this job if another one has the key: nothing (`keep`, the default), or the other becomes this (`replace`). */
  onConflict?: "keep" | "replace" | null;
  /** For how many seconds a worker lets it run before it is retried. */
  maxRunS?: number | null;
}

/** Of one that is enqueued now. */
export interface EnqueueOptions extends JobOptions {
  /** The transaction that the enqueue is part of. */
  tx?: Transaction | null;
}

/** One of the jobs of {@link Database.enqueueMany}. */
export interface JobSpec extends JobOptions {
  queue: string;
  payload: unknown;
}

/** What has become of an enqueue: its job, or the one that has its unique key. */
export interface Enqueued {
  id: number;
  status: "enqueued" | "exists" | "replaced";
}

/** An enqueue, as its hooks see it: they may change what is in it. */
export interface EnqueueCall {
  queue: string;
  payload: unknown;
  options: JobOptions;
}

/**
 * Is called around each enqueue: `next()` does it and answers what it answers, a promise for the asynchronous forms. A hook that
 * does not call it holds the job back, and the enqueue answers what the hook does.
 */
export type EnqueueHook = (call: EnqueueCall, next: () => unknown) => unknown;

const jobKeys = [
  "runAt",
  "delay",
  "priority",
  "expires",
  "maxAttempts",
  "metadata",
  "concurrencyKey",
  "batch",
  "member",
  "uniqueKey",
  "uniqueUntil",
  "uniqueForS",
  "onConflict",
  "maxRunS",
];
const known = new Set(["tx", ...jobKeys]);
const specKeys = new Set(["queue", "payload", ...jobKeys]);
const uniqueUntil = { settled: 0, claimed: 1 };
const onConflict = { keep: 0, replace: 1 };

function metadataText(metadata: unknown): string | undefined {
  if (metadata === undefined || metadata === null) return undefined;
  if (typeof metadata !== "object" || Array.isArray(metadata)) {
    throw typeError(`metadata must be an object of strings, not ${shown(metadata)}`);
  }
  for (const [key, value] of Object.entries(metadata)) text(value, `metadata.${key}`);
  return JSON.stringify(metadata);
}

function batchId(batch: unknown): number | bigint | undefined {
  if (batch instanceof Batch) return batch.id;
  return optionalInteger(batch, "batch");
}

/** A key: an empty one would be none. */
function key(value: unknown, name: string): string | undefined {
  const found = optionalText(value, name);
  if (found === "") throw rangeError(`${name} must not be empty`);
  return found;
}

function positive(value: unknown, name: string): number | bigint | undefined {
  const number = optionalInteger(value, name);
  if (number !== undefined && number <= 0) throw rangeError(`${name} must be positive`);
  return number;
}

/** @internal In the order in which the addon reads them; undefined if all are the defaults. */
export function packOptions(given: JobOptions, maxAttempts?: number): unknown[] | undefined {
  const member = given.member;
  if (member !== undefined && member !== null && typeof member !== "object") {
    throw typeError(`member must be a job, not ${shown(member)}`);
  }
  const packed = [
    instant(given.runAt, "runAt"),
    optionalInteger(given.delay, "delay"),
    optionalInteger(given.expires, "expires"),
    optionalInteger(given.priority, "priority"),
    optionalInteger(given.maxAttempts, "maxAttempts") ?? maxAttempts,
    metadataText(given.metadata),
    key(given.concurrencyKey, "concurrencyKey"),
    batchId(given.batch),
    member ? integer(member.id, "member.id") : undefined,
    member ? text(member.workerId, "member.workerId") : undefined,
    key(given.uniqueKey, "uniqueKey"),
    choice(given.uniqueUntil, "uniqueUntil", uniqueUntil),
    choice(given.onConflict, "onConflict", onConflict),
    optionalInteger(given.uniqueForS, "uniqueForS"),
    positive(given.maxRunS, "maxRunS"),
  ];
  return packed.some((one) => one !== undefined) ? packed : undefined;
}

/** @internal */
export function checkEnqueueOptions(given: EnqueueOptions | null | undefined): EnqueueOptions {
  return checked(given, known, "options of an enqueue");
}

/** @internal Three elements for each job. */
export function packSpecs(specs: readonly JobSpec[]): unknown[] {
  if (!Array.isArray(specs)) throw typeError(`jobs must be an array, not ${shown(specs)}`);
  return specs.flatMap((spec, i) => {
    if (typeof spec !== "object" || spec === null) throw typeError(`jobs[${i}] must be an object, not ${shown(spec)}`);
    checked(spec, specKeys, `jobs[${i}]`);
    const queue = text(spec.queue, `jobs[${i}].queue`);
    return [queue, encode(spec.payload, `jobs[${i}].payload`), packOptions(spec)];
  });
}

const statuses = { 0: "enqueued", 8: "exists", 9: "replaced" } as const;

/** @internal */
export function enqueuedOf(answer: number | [number, 0 | 8 | 9]): Enqueued {
  if (!Array.isArray(answer)) return { id: answer, status: "enqueued" };
  return { id: answer[0], status: statuses[answer[1]] };
}

/** @internal Two elements for each. */
export function manyOf(answer: number[]): Enqueued[] {
  const all: Enqueued[] = [];
  for (let at = 0; at < answer.length; at += 2) {
    all.push({ id: answer[at] as number, status: statuses[answer[at + 1] as 0] });
  }
  return all;
}

/** @internal The options of a job as JSON that the library reads: in callbacks of batches. */
export function jobJson(spec: JobSpec): object {
  checked(spec, specKeys, "a job");
  packOptions(spec);
  const { runAt, delay, priority, expires, maxAttempts, metadata, concurrencyKey, uniqueKey } = spec;
  const options: Record<string, unknown> = {
    run_at: instant(runAt, "runAt"),
    delay_s: delay ?? undefined,
    priority: priority ?? undefined,
    expires_s: expires ?? undefined,
    max_attempts: maxAttempts ?? undefined,
    metadata: metadata ?? undefined,
    concurrency_key: concurrencyKey ?? undefined,
    batch_id: batchId(spec.batch),
    unique_key: uniqueKey ?? undefined,
    unique_until: spec.uniqueUntil ?? undefined,
    unique_for_s: spec.uniqueForS ?? undefined,
    on_conflict: spec.onConflict ?? undefined,
    max_run_s: spec.maxRunS ?? undefined,
  };
  return { queue: text(spec.queue, "queue"), payload: encode(spec.payload), options };
}
