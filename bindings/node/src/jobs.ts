// Looking at the jobs of a file, and acting on many of them.
import { options as checked, integer, shown, text } from "./check.js";
import { type Core, Resident } from "./core.js";
import { rangeError, typeError } from "./errors.js";
import { decode, snakeKeys } from "./json.js";
import { recordOf } from "./queue.js";
import type { Transaction } from "./transaction.js";

/** What a job is: it can be claimed, will be, is, waits for its concurrency key, was given up, or is done and kept. */
export type JobState = "due" | "delayed" | "processing" | "blocked" | "dead" | "done";

/** Conditions, all of which hold. */
export interface JobFilter {
  queue?: string;
  state?: JobState | readonly JobState[];
  minId?: number;
  maxId?: number;
  workerId?: string;
  uniqueKey?: string;
  batchId?: number;
  /** All of these. */
  metadata?: Record<string, string>;
  /** A part of its error. */
  error?: string;
  /** Unix seconds, inclusive. */
  createdFrom?: number;
  createdTo?: number;
  endedFrom?: number;
  endedTo?: number;
  order?: "newest" | "oldest";
  /** How many jobs a page has at most: 1 to 1,000. Default 100. */
  pageSize?: number;
  /** That of the page before. */
  cursor?: string | number | null;
}

/** A job in whichever state; what it does not have is null. */
export interface JobInfo {
  id: number;
  queue: string;
  payload: unknown;
  state: JobState;
  priority: number;
  runAt: number;
  workerId: string | null;
  claimExpiresAt: number | null;
  attempts: number;
  maxAttempts: number;
  createdAt: number;
  expiresAt: number | null;
  lastError: string | null;
  diedAt: number | null;
  finishedAt: number | null;
  /** The text that was saved as its result. */
  result: string | null;
  metadata: Record<string, string> | null;
  uniqueKey: string | null;
  concurrencyKey: string | null;
  batchId: number | null;
  /** The stored text of the payload. */
  readonly payloadText: string;
}

/** A page of jobs; without a cursor it is the last. */
export interface JobPage {
  jobs: JobInfo[];
  cursor: string | number | null;
}

/** What is done to jobs. */
export type JobAction = "retry" | "run_now" | "cancel" | "delete" | { move: string } | { priority: number };

/** What an action has come to. */
export interface Applied {
  changed: number;
  /** Passed over: another job has their unique key, or the file refuses the change. */
  conflicts: number;
  /** How many are left; null where that would have to be counted. */
  left: number | null;
  cursor: string | number | null;
}

const known = new Set([
  "queue",
  "state",
  "minId",
  "maxId",
  "workerId",
  "uniqueKey",
  "batchId",
  "metadata",
  "error",
  "createdFrom",
  "createdTo",
  "endedFrom",
  "endedTo",
  "order",
  "pageSize",
  "cursor",
]);
const asIs: ReadonlySet<string> = new Set(["metadata"]);

/** These are no conditions. */
const paging: ReadonlySet<string> = new Set(["order", "pageSize", "cursor"]);

/** A condition that is undefined is a mistake: without it the filter would find more, all jobs if it is the only one. */
function filterText(filter: JobFilter | undefined): string {
  for (const [key, value] of Object.entries(filter ?? {})) {
    if (value === undefined && !paging.has(key)) throw typeError(`${key} is undefined: a condition has to be left out`);
  }
  for (const [key, value] of Object.entries(filter?.metadata ?? {})) text(value, `metadata.${key}`);
  const { pageSize, ...rest } = checked(filter, known, "the filter's conditions");
  const limit = pageSize === undefined || pageSize === null ? undefined : Number(integer(pageSize, "pageSize"));
  if (limit !== undefined && !(limit >= 1 && limit <= 1000))
    throw rangeError("pageSize, the limit of a page, must be 1 to 1000");
  return JSON.stringify({ ...(snakeKeys(rest, asIs) as object), limit });
}

/** Of what is acted on. `{}` is all jobs. */
function actedOn(filter: JobFilter): string {
  if (filter === undefined || filter === null) throw typeError("a filter is needed; {} finds all jobs");
  return filterText(filter);
}

function actionText(action: JobAction): string {
  if (typeof action === "string") return action;
  if (typeof action !== "object" || action === null) {
    throw typeError(`action must be a string or an object, not ${shown(action)}`);
  }
  return JSON.stringify(action);
}

/** The jobs of a file; made by {@link Database.jobs}. */
export class Jobs extends Resident {
  readonly #core: Core;

  /** @internal */
  constructor(core: Core) {
    super();
    this.#core = core;
  }

  /** A page of the jobs that the filter finds. At most 10,000 are looked at: it may be short, and have a cursor all the same. */
  list(filter?: JobFilter): JobPage {
    return this.#page(this.#core.run("jobList", undefined, filterText(filter)));
  }

  /** As {@link list}, off the event loop. */
  async listAsync(filter?: JobFilter): Promise<JobPage> {
    return this.#page(await this.#core.runAsync("jobList", undefined, filterText(filter)));
  }

  /** All jobs that the filter finds, page by page. */
  async *each(filter?: JobFilter): AsyncGenerator<JobInfo, void, undefined> {
    let cursor = filter?.cursor ?? null;
    do {
      const page = await this.listAsync({ ...filter, cursor: cursor ?? undefined });
      yield* page.jobs;
      cursor = page.cursor;
    } while (cursor !== null);
  }

  #page(answer: string): JobPage {
    const { jobs, cursor } = decode(answer) as { jobs: Record<string, unknown>[]; cursor: JobPage["cursor"] };
    return { jobs: jobs.map((job) => recordOf<JobInfo>(job)), cursor };
  }

  /**
   * Does something to a page of the jobs that the filter finds: `retry` dead ones, `run_now` delayed ones, `cancel` live ones,
   * `delete` any, `move` waiting and dead ones to a queue, set the `priority` of live ones.
   */
  apply(filter: JobFilter, action: JobAction, options?: { tx?: Transaction }): Applied {
    return JSON.parse(this.#core.run("jobApply", options?.tx, actedOn(filter), actionText(action)));
  }

  /** As {@link apply}, off the event loop. */
  async applyAsync(filter: JobFilter, action: JobAction, options?: { tx?: Transaction }): Promise<Applied> {
    return JSON.parse(await this.#core.runAsync("jobApply", options?.tx, actedOn(filter), actionText(action)));
  }

  /** Does it to all of them, page by page; how many it changed. */
  async applyAll(filter: JobFilter, action: JobAction): Promise<number> {
    actedOn(filter);
    let changed = 0;
    let cursor = filter.cursor ?? null;
    do {
      const applied: Applied = await this.applyAsync({ ...filter, cursor: cursor ?? undefined }, action);
      changed += applied.changed;
      cursor = applied.cursor;
    } while (cursor !== null);
    return changed;
  }
}
