import { options as checked, choice, instant, integer, optionalInteger, shown, signalOf, text } from "./check.js";
import { type Core, Resident } from "./core.js";
import { type JobOptions, packOptions } from "./enqueue.js";
import { typeError } from "./errors.js";
import { Feed } from "./feed.js";
import { decode, encode } from "./json.js";
import { recordOf } from "./queue.js";
import { defaultLogger, type Logger, pause, Trouble } from "./trouble.js";

/** A schedule, and what its jobs are like. */
export interface ScheduleSpec extends Omit<JobOptions, "runAt" | "expires" | "member" | "priority" | "maxAttempts"> {
  name: string;
  /** Where its jobs go. */
  queue: string;
  /** Five or six fields of cron, a macro as `@daily`, or `@every 5m`; `CRON_TZ=Europe/Berlin ` before it sets the zone. */
  schedule?: string;
  /** The same, under the name it had before. */
  cron?: string;
  payload?: unknown;
  priority?: number | null;
  /** After how many seconds from its boundary a job may not be claimed any more. */
  expiresS?: number | null;
  /** How often a job may be claimed. Default: what is set for its queue, or else 3. */
  maxAttempts?: number | null;
  /** `skip`: nothing is enqueued while the last job is live. Default `allow`. */
  overlap?: "allow" | "skip";
}

/** What to change of a schedule: what is there, also as null. */
export interface ScheduleUpdate {
  schedule?: string;
  cron?: string;
  payload?: unknown;
  priority?: number;
  expiresS?: number | null;
  maxAttempts?: number | null;
}

/** A schedule as it is in the file. */
export interface ScheduleRecord {
  name: string;
  queue: string;
  cronExpr: string;
  payload: unknown;
  priority: number;
  expiresS: number | null;
  /** Unix seconds. */
  nextFireAt: number;
  enabled: boolean;
  maxAttempts: number;
  /** Why it does not fire, if it cannot. */
  error?: string;
  overlap: "allow" | "skip";
  /** What else its jobs are enqueued with. */
  options: Record<string, unknown>;
  /** The stored text of the payload. */
  readonly payloadText: string;
}

/** A boundary that was fired. */
export interface ScheduledFire {
  name: string;
  queue: string;
  /** Unix seconds. */
  fireAt: number;
  /** The job; null if none was enqueued. */
  jobId: number | null;
  /** Whether it was enqueued, another job has its unique key, or the last one still lived (`skipped`). */
  status: "enqueued" | "exists" | "replaced" | "skipped";
}

const known = new Set([
  "name",
  "queue",
  "schedule",
  "cron",
  "payload",
  "priority",
  "expiresS",
  "maxAttempts",
  "overlap",
  "delay",
  "metadata",
  "concurrencyKey",
  "batch",
  "uniqueKey",
  "uniqueUntil",
  "uniqueForS",
  "onConflict",
  "maxRunS",
]);
const updateKeys = new Set(["schedule", "cron", "payload", "priority", "expiresS", "maxAttempts"]);
const statuses = { 0: "enqueued", 8: "exists", 9: "replaced", 1: "skipped" } as const;

/** @internal Five elements for each. */
export function firesOf(flat: unknown): ScheduledFire[] {
  const fires: ScheduledFire[] = [];
  if (!Array.isArray(flat)) return fires;
  for (let at = 0; at < flat.length; at += 5) {
    const [name, queue, fireAt, jobId, status] = flat.slice(at, at + 5) as [string, string, number, number, 0];
    fires.push({ name, queue, fireAt, jobId: jobId === 0 ? null : jobId, status: statuses[status] });
  }
  return fires;
}

function expressionOf(given: { schedule?: string; cron?: string }): string {
  return text(given.schedule ?? given.cron, "schedule");
}

/** The schedules of a file, which all processes share; made by {@link Database.scheduler}. */
export class Scheduler extends Resident {
  readonly #core: Core;

  /** @internal */
  constructor(core: Core) {
    super();
    this.#core = core;
  }

  /**
   * Adds a schedule, or replaces the one of that name. The next boundary of one that is there already stays if the expression is
   * the same: programs add theirs whenever they start.
   */
  add(spec: ScheduleSpec): void {
    this.#core.run("schedulerRegister", undefined, ...this.#spec(spec));
  }

  /** As {@link add}, off the event loop. */
  async addAsync(spec: ScheduleSpec): Promise<void> {
    await this.#core.runAsync("schedulerRegister", undefined, ...this.#spec(spec));
  }

  #spec(spec: ScheduleSpec): unknown[] {
    if (typeof spec !== "object" || spec === null) throw typeError(`a schedule must be an object, not ${shown(spec)}`);
    checked(spec, known, "a schedule");
    const { priority, expiresS, maxAttempts, overlap, payload, ...job } = spec;
    return [
      text(spec.name, "name"),
      text(spec.queue, "queue"),
      expressionOf(spec),
      encode(payload === undefined ? null : payload),
      [
        optionalInteger(priority, "priority"),
        optionalInteger(expiresS, "expiresS"),
        optionalInteger(maxAttempts, "maxAttempts"),
        choice(overlap, "overlap", { allow: 0, skip: 1 }),
        packOptions(job),
      ],
    ];
  }

  /** Removes a schedule; its jobs stay. How many that were: 1 or 0. */
  remove(name: string): number {
    return this.#core.run("schedulerUnregister", undefined, text(name, "name")) === 0 ? 1 : 0;
  }

  /** As {@link remove}, off the event loop. */
  async removeAsync(name: string): Promise<number> {
    return (await this.#core.runAsync("schedulerUnregister", undefined, text(name, "name"))) === 0 ? 1 : 0;
  }

  /** Whether it was there, and not paused. */
  pause(name: string): boolean {
    return this.#core.run("schedulerPause", undefined, text(name, "name")) === 0;
  }

  /** As {@link pause}, off the event loop. */
  async pauseAsync(name: string): Promise<boolean> {
    return (await this.#core.runAsync("schedulerPause", undefined, text(name, "name"))) === 0;
  }

  /** Whether it was there, and paused. The boundaries that it missed are fired next, 64 at most. */
  resume(name: string): boolean {
    return this.#core.run("schedulerResume", undefined, text(name, "name")) === 0;
  }

  /** As {@link resume}, off the event loop. */
  async resumeAsync(name: string): Promise<boolean> {
    return (await this.#core.runAsync("schedulerResume", undefined, text(name, "name"))) === 0;
  }

  /** Changes what is given. False if there is no such schedule, or nothing was given. */
  update(name: string, changes: ScheduleUpdate): boolean {
    return this.#core.run("schedulerUpdate", undefined, ...this.#update(name, changes)) === 0;
  }

  /** As {@link update}, off the event loop. */
  async updateAsync(name: string, changes: ScheduleUpdate): Promise<boolean> {
    return (await this.#core.runAsync("schedulerUpdate", undefined, ...this.#update(name, changes))) === 0;
  }

  #update(name: string, changes: ScheduleUpdate): unknown[] {
    const given = checked(changes, updateKeys, "changes of a schedule");
    const has = (key: keyof ScheduleUpdate): boolean => Object.hasOwn(given, key) && given[key] !== undefined;
    const number = (key: "expiresS" | "maxAttempts"): unknown =>
      has(key) ? (optionalInteger(given[key], key) ?? null) : undefined;
    return [
      text(name, "name"),
      [
        has("schedule") || has("cron") ? expressionOf(given) : undefined,
        has("payload") ? encode(given.payload) : undefined,
        has("priority") ? integer(given.priority, "priority") : undefined,
        number("expiresS"),
        number("maxAttempts"),
      ],
    ];
  }

  /** All schedules, by name. */
  list(): ScheduleRecord[] {
    return this.#list(this.#core.run("schedulerList", undefined));
  }

  /** As {@link list}, off the event loop. */
  async listAsync(): Promise<ScheduleRecord[]> {
    return this.#list(await this.#core.runAsync("schedulerList", undefined));
  }

  #list(answer: string): ScheduleRecord[] {
    return (decode(answer) as Record<string, unknown>[]).map((one) => recordOf<ScheduleRecord>(one));
  }

  /** Fires every boundary up to `now` (Unix seconds, or a Date; default: now) that was not fired yet. */
  tick(now?: number | Date): ScheduledFire[] {
    return firesOf(this.#core.run("schedulerTick", undefined, instant(now, "now")));
  }

  /** As {@link tick}, off the event loop. */
  async tickAsync(now?: number | Date): Promise<ScheduledFire[]> {
    return firesOf(await this.#core.runAsync("schedulerTick", undefined, instant(now, "now")));
  }

  /** The next boundary of any schedule, in Unix seconds; 0 if there is none. */
  soonest(): number {
    return this.#core.run("schedulerSoonest", undefined) ?? 0;
  }

  /** As {@link soonest}, off the event loop. */
  async soonestAsync(): Promise<number> {
    return (await this.#core.runAsync("schedulerSoonest", undefined)) ?? 0;
  }

  /**
   * Fires the schedules until `signal` is aborted or the database is closed. One of all who run leads, the others stand by;
   * `owner` is a name that nobody else has. Errors that pass are waited out.
   */
  async run(owner: string, signal?: AbortSignal, options?: { logger?: Logger | null }): Promise<void> {
    const leading = new Leading(this.#core, text(owner, "owner"), signalOf(signal));
    await leading.serve(new Trouble(options?.logger ?? defaultLogger, `the scheduler ${owner}`), signal);
  }
}

class Leading extends Feed<ScheduledFire[]> {
  constructor(core: Core, owner: string, signal?: AbortSignal) {
    super(core, (token) => core.run("leaderNew", undefined, token, owner), signal);
  }

  protected override async look(): Promise<ScheduledFire[] | undefined> {
    const fires = firesOf(await this.core.runAsync("leaderNext", undefined, this.handle));
    return fires.length > 0 ? fires : undefined;
  }

  async serve(trouble: Trouble, signal: AbortSignal | undefined): Promise<void> {
    try {
      while (!this.closed) {
        try {
          await this.take();
          trouble.over();
        } catch (error) {
          if (!trouble.passes(error)) throw error;
          await pause(trouble.met(error), signal);
        }
      }
    } finally {
      await this.finish();
    }
  }

  /** Somebody who stands by takes over at once: freeing it gives leadership up. */
  protected override get writesAtEnd(): boolean {
    return true;
  }
}
