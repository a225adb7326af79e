// Workers: what they are made of, and their options. One call of `run` is in run.ts.
import { randomUUID } from "node:crypto";
import { options as checked, functionOf, integer, optionalInteger, positive, shown, text } from "./check.js";
import type { Database, OpenOptions } from "./database.js";
import { misuse, rangeError, typeError } from "./errors.js";
import { type Claimed, Job } from "./job.js";
import type { JobLost } from "./outcome.js";
import { Run } from "./run.js";
import type { ScheduleSpec } from "./scheduler.js";
import { defaultLogger, type Logger } from "./trouble.js";

/** A job whose handler a worker runs. */
export class WorkerJob<P = unknown> extends Job<P> {
  readonly #signal: AbortSignal;
  readonly #settledElsewhere: () => void;
  readonly #database: Database;

  /** @internal */
  constructor(database: Database, claimed: Claimed, i: number, signal: AbortSignal, settledElsewhere: () => void) {
    super(database.core, claimed, i);
    this.#database = database;
    this.#signal = signal;
    this.#settledElsewhere = settledElsewhere;
  }

  #parsed: { value: unknown } | undefined;

  override get payload(): P {
    return this.#parsed ? (this.#parsed.value as P) : super.payload;
  }

  /** @internal */
  async parse(parse: (payload: unknown) => unknown): Promise<void> {
    this.#parsed = { value: await parse(super.payload) };
  }

  /**
   * The worker's database, whose transactions {@link Job.ack} and the like may be part of. After the file was replaced it is another
   * one than the worker was made of.
   */
  get database(): Database {
    return this.#database;
  }

  /** Aborted when the handler should end, because the job is not this worker's any more; its reason is a {@link JobLost}. */
  get signal(): AbortSignal {
    return this.#signal;
  }

  /** The handler has settled it through another connection than the worker's database: the worker leaves it alone. */
  settled(): void {
    this.#settledElsewhere();
  }
}

/** What is done with each job: when it returns the job is done, when it throws it is tried again. */
export type Handler<P = unknown> = (job: WorkerJob<P>) => unknown;

/** Is called around each job: `next()` runs the handler, and throws what that throws. */
export type Middleware = (job: WorkerJob, next: () => Promise<unknown>) => unknown;

/** A queue of a worker. */
export interface WorkerQueue {
  name: string;
  /** How often it is asked first, compared with the others; if all are 0 they are asked in the order given. Default 1. */
  weight?: number;
  /** How many of its jobs may be in hand at most. */
  maxInHand?: number;
}

/** Names of queues, or weights by names, or more. */
export type WorkerQueues = string | readonly (string | WorkerQueue)[] | Readonly<Record<string, number>>;

/** How a worker works. Durations are seconds. */
export interface WorkerOptions {
  /** How many handlers run at a time. Default 1. */
  concurrency?: number;
  /** Its name; one that no other worker has is made up by default. It claims as `<name>@<instance>`. */
  workerId?: string;
  /** For how long a claim is valid; it is prolonged in time. Default 300. */
  visibilityTimeoutS?: number;
  /** For how long a handler may run before its job is tried again. Default: without end. */
  maxRunS?: number | null;
  /** A job that has failed for the nth time is due after base * factor ** (n - 1), at most max, give or take the jitter. */
  retryBaseS?: number;
  retryMaxS?: number;
  retryFactor?: number;
  retryJitter?: number;
  /**
   * Checks a payload and makes what the handler has as `job.payload` of it, as `parse` and `parseAsync` of a zod schema do. A
   * job whose payload it throws at will not get better: it is dead, with the reason.
   */
  parse?: (payload: unknown) => unknown;
  /** Called around each job, the first one outermost. */
  middleware?: readonly Middleware[];
  /** Told of each failure, for Sentry and the like; what it throws is logged, and nothing waits for it. */
  onError?: (error: unknown, job: WorkerJob) => unknown;
  /** Where it says what happens; null for nowhere. Default: the standard error. */
  logger?: Logger | null;
}

/** How one call of {@link Worker.run} ends, and what it does beside. */
export interface RunOptions {
  /** Ends it as a signal of the system does. */
  signal?: AbortSignal;
  /** Whether SIGTERM and SIGINT end it. Default: in the main thread. */
  signals?: boolean;
  /** How long running handlers have, once it is to end, before they are told to. Default 8 seconds; null without end. */
  stopTimeoutS?: number | null;
  /** What {@link Scheduler.add} is called with. They, and those in the file, are fired while it runs; [] for the latter alone. */
  schedules?: readonly ScheduleSpec[];
}

const known = new Set([
  "concurrency",
  "workerId",
  "visibilityTimeoutS",
  "maxRunS",
  "retryBaseS",
  "retryMaxS",
  "retryFactor",
  "retryJitter",
  "parse",
  "middleware",
  "onError",
  "logger",
]);
const runKeys = new Set(["signal", "signals", "stopTimeoutS", "schedules"]);

/** @internal Three elements for each: name, weight, the most in hand. */
function queueList(queues: WorkerQueues): unknown[] {
  let list: WorkerQueue[];
  if (typeof queues === "string") list = [{ name: queues }];
  else if (Array.isArray(queues)) list = queues.map((one) => (typeof one === "string" ? { name: one } : one));
  else if (typeof queues === "object" && queues !== null) {
    list = Object.entries(queues).map(([name, weight]) => ({ name, weight: weight as number }));
  } else throw typeError(`queues must be a name, an array or an object, not ${shown(queues)}`);
  if (list.length === 0) throw rangeError("a worker needs a queue");
  const names = new Set<string>();
  return list.flatMap((one) => {
    const { name, weight, maxInHand } = checked(
      one,
      new Set(["name", "weight", "maxInHand"]),
      "options of a worker's queue",
    );
    if (names.has(text(name, "name"))) throw rangeError(`queue ${name} is there twice`);
    names.add(name as string);
    const weighs = integer(weight ?? 1, "weight");
    if (weighs < 0) throw rangeError("weight must not be negative");
    return [name, weighs, maxInHand === undefined ? -1 : positive(maxInHand, "maxInHand")];
  });
}

function finite(value: unknown, name: string, from: number, to = Number.POSITIVE_INFINITY): number | undefined {
  if (value === undefined || value === null) return undefined;
  if (typeof value !== "number") throw typeError(`${name} must be a number, not ${shown(value)}`);
  if (!(value >= from && value <= to))
    throw rangeError(`${name} must be at least ${from}${to < 2 ? ` and at most ${to}` : ""}`);
  return value;
}

/** @internal What a worker is made of, whatever database it has at the moment. */
export interface Plan {
  readonly name: string;
  readonly concurrency: number;
  readonly queues: unknown[];
  readonly native: unknown[];
  readonly handler: Handler<never>;
  readonly parse: ((payload: unknown) => unknown) | undefined;
  readonly middleware: readonly Middleware[];
  readonly onError: ((error: unknown, job: WorkerJob) => unknown) | undefined;
  readonly logger: Logger;
  /** base, factor, max */
  readonly backoff: readonly [number, number, number];
}

const silent: Logger = { info: () => {}, warn: () => {}, error: () => {} };

/** A logger that fails ends no job, and no worker. */
function contained(logger: Logger): Logger {
  const say = (level: keyof Logger) => (message: string) => {
    try {
      logger[level](message);
    } catch {
      // there is nobody to tell
    }
  };
  return { info: say("info"), warn: say("warn"), error: say("error") };
}

/** @internal */
export function planOf(queues: WorkerQueues, handler: Handler<never>, given: WorkerOptions | undefined): Plan {
  const options = checked(given, known, "options of a worker");
  const concurrency = positive(options.concurrency ?? 1, "concurrency");
  const maxRunS = optionalInteger(options.maxRunS, "maxRunS");
  if (maxRunS !== undefined && maxRunS <= 0) throw rangeError("maxRunS must be positive");
  const base = Number(integer(options.retryBaseS ?? 15, "retryBaseS"));
  const max = Number(integer(options.retryMaxS ?? 3600, "retryMaxS"));
  if (base < 0 || max < 0) throw rangeError("retryBaseS and retryMaxS must not be negative");
  const factor = finite(options.retryFactor, "retryFactor", 1, 1e6) ?? 2;
  const jitter = finite(options.retryJitter, "retryJitter", 0, 1) ?? 0.1;
  const middleware = options.middleware ?? [];
  if (!Array.isArray(middleware)) throw typeError("middleware must be an array of functions");
  for (const one of middleware) functionOf(one, "middleware");
  return {
    name: options.workerId === undefined ? `${process.pid}-${randomUUID()}` : text(options.workerId, "workerId"),
    concurrency,
    queues: queueList(queues),
    native: [
      positive(options.visibilityTimeoutS ?? 300, "visibilityTimeoutS"),
      5000,
      maxRunS,
      base,
      max,
      factor,
      jitter,
      1,
      1,
    ],
    handler: functionOf(handler, "handler"),
    parse: options.parse === undefined ? undefined : functionOf(options.parse, "parse"),
    middleware,
    onError: options.onError === undefined ? undefined : functionOf(options.onError, "onError"),
    logger: options.logger === null ? silent : contained(options.logger ?? defaultLogger),
    backoff: [base, factor, max],
  };
}

/** @internal */
export function checkRunOptions(given: RunOptions | undefined): Partial<RunOptions> {
  const options = checked(given, runKeys, "options of run");
  finite(options.stopTimeoutS, "stopTimeoutS", 0);
  if (options.signals !== undefined && typeof options.signals !== "boolean") throw typeError("signals must be a boolean");
  if (options.schedules !== undefined && !Array.isArray(options.schedules)) throw typeError("schedules must be an array");
  return options;
}

/** Works the jobs of its queues; made by {@link Database.worker}. */
export class Worker<P = unknown> {
  readonly #plan: Plan;
  readonly #database: Database;
  #run: Run | undefined;
  #done: Promise<void> | undefined;

  /** @internal */
  constructor(database: Database, queues: WorkerQueues, handler: Handler<P>, options?: WorkerOptions) {
    this.#database = database;
    this.#plan = planOf(queues, handler as Handler<never>, options);
  }

  /** Its name. */
  get workerId(): string {
    return this.#plan.name;
  }

  /**
   * Works until it is told to end: by SIGTERM or SIGINT, by `signal`, or by {@link stop}. Then no job is claimed any more; those
   * in hand have `stopTimeoutS` seconds, are then told ({@link WorkerJob.signal}), and given back 1.5 seconds later. A second
   * signal gives them back at once. How many jobs were done, retried, dead and given back is logged.
   *
   * Errors that pass (a locked file, a full disk) are logged once and waited out. A file that was replaced is opened anew, by a
   * database of the worker's own; what it had in hand of the old one is told. Any other error of the database ends it.
   *
   * @throws UnfinishedError if handlers have not returned when it ends
   */
  async run(options?: RunOptions): Promise<void> {
    const given = checkRunOptions(options);
    if (this.#run !== undefined) throw misuse(`the worker ${this.workerId} runs already`);
    this.#run = new Run(this.#plan, this.#database, () => this.#database.again(), given);
    try {
      this.#done = this.#run.call();
      await this.#done;
    } finally {
      this.#run = undefined;
    }
  }

  /** Ends `run`, as a signal does; resolves when it has ended. */
  async stop(): Promise<void> {
    this.#run?.stop();
    await this.#done?.catch(() => undefined); // run throws it
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }
}

/**
 * As {@link Worker.run}, for a file that need not be there yet: it waits until it can be opened, and closes it at the end.
 * `path` may also be a function that opens the database.
 */
export async function work<P = unknown>(
  path: string | (() => Database | Promise<Database>),
  queues: WorkerQueues,
  handler: Handler<P>,
  options?: WorkerOptions & RunOptions & { open?: OpenOptions },
): Promise<void> {
  const { signal, signals, stopTimeoutS, schedules, open: openOptions, ...rest } = options ?? {};
  const given = checkRunOptions({ signal, signals, stopTimeoutS, schedules });
  const plan = planOf(queues, handler as Handler<never>, rest);
  const opening = typeof path === "function" ? path : openerOf(text(path, "path"), openOptions);
  await new Run(plan, undefined, opening, given).call();
}

/** @internal Set by index.ts: this module and the database's need each other. */
let openerOf: (path: string, options?: OpenOptions) => () => Promise<Database> = () => {
  throw misuse("not set up");
};

/** @internal */
export function setOpener(opener: typeof openerOf): void {
  openerOf = opener;
}
