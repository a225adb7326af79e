// One call of a worker's `run`, from the first claim to the line in the log that says how it ended.
//
// It is running, then stopping (what runs may finish), then cancelled (what runs has been told), then released (what still runs
// is given back). A second signal jumps to the last. All of it is on the event loop; commits are made by the database's thread,
// one for all that is finished and all that is claimed.
import { isMainThread } from "node:worker_threads";
import type { Core } from "./core.js";
import type { Database } from "./database.js";
import type { Place } from "./dispatcher.js";
import { closedError, HonkerError, UnfinishedError } from "./errors.js";
import type { Claimed } from "./job.js";
import type { Handle } from "./native.js";
import { discardText, errorText } from "./outbox.js";
import { Discard, discardOf, JobLost, type LossReason, Retry, Snooze } from "./outcome.js";
import { pause, Trouble } from "./trouble.js";
import { type Plan, type RunOptions, WorkerJob } from "./worker.js";

/** For how long handlers may take to notice that they are told, and for how long the last settlements are tried. */
const graceMs = 1500;

const Kind = { ack: 0, retry: 1, fail: 2, snooze: 3, release: 4 } as const;
const reasons: Record<number, LossReason> = { 1: "gone", 2: "lapsed", 3: "taken", 4: "timeout" };
const outcomes = ["done", "snoozed", "retried", "dead", "released"] as const;
type Outcome = (typeof outcomes)[number];

interface Settlement {
  job: WorkerJob;
  kind: number;
  /** Negative for a retry by the worker's backoff. */
  delayS: number;
  error: string | undefined;
  becomes: Outcome;
}

interface Entry {
  job: WorkerJob;
  controller: AbortController;
  /** It is not to be settled: lost, given back, or of a file that is not there any more. */
  over: boolean;
}

type Phase = "running" | "stopping" | "cancelled" | "released";

const isClosed = (error: unknown): boolean => error instanceof HonkerError && error.code === "HONKER_CLOSED_HANDLE";
const isReplaced = (error: unknown): boolean => error instanceof HonkerError && error.code === "HONKER_WATCHER";

/** Who is told of the signals; one listener tells all, for Node warns of more than ten. */
const hearing = new Set<() => void>();
const signalNames = ["SIGTERM", "SIGINT"] as const;
const tellAll = (): void => {
  for (const stop of [...hearing]) stop();
};

function hearSignals(stop: () => void): () => void {
  if (hearing.size === 0) for (const name of signalNames) process.on(name, tellAll);
  hearing.add(stop);
  return () => {
    if (hearing.delete(stop) && hearing.size === 0) for (const name of signalNames) process.off(name, tellAll);
  };
}

/** @internal What becomes of a job whose handler threw this. */
export function settlementOf(job: WorkerJob, error: unknown): Omit<Settlement, "job"> {
  const last = job.attempts >= job.maxAttempts;
  if (error instanceof Snooze) {
    return { kind: Kind.snooze, delayS: error.delayS, error: undefined, becomes: "snoozed" };
  }
  if (error instanceof JobLost && job.signal.aborted && error.reason === "stop") {
    return { kind: Kind.release, delayS: 0, error: undefined, becomes: "released" };
  }
  const discard = error instanceof Retry ? undefined : discardOf(error);
  if (discard) return { kind: Kind.fail, delayS: 0, error: discardText(error, discard), becomes: "dead" };
  const delayS = error instanceof Retry ? (error.delayS ?? -1) : -1;
  return { kind: Kind.retry, delayS, error: errorText(error), becomes: last ? "dead" : "retried" };
}

/** @internal */
export class Run {
  readonly #plan: Plan;
  readonly #open: () => Database | Promise<Database>;
  readonly #options: Partial<RunOptions>;
  readonly #given: Database | undefined;
  readonly #trouble: Trouble;
  readonly #running = new Map<number, Entry>();
  #own: Database | undefined;
  #core: Core | undefined;
  #place: Place | undefined;
  #worker: Handle | undefined;
  #finished: Settlement[] = [];
  #counts: Record<Outcome, number> = { done: 0, snoozed: 0, retried: 0, dead: 0, released: 0 };
  #phase: Phase = "running";
  #deadline: number | undefined;
  #told = 0;
  #busy = 0;
  /** Aborted when it is told to end, and anew by a second signal. */
  #stopping = new AbortController();

  constructor(
    plan: Plan,
    database: Database | undefined,
    open: () => Database | Promise<Database>,
    options: Partial<RunOptions>,
  ) {
    this.#plan = plan;
    this.#given = database;
    this.#open = open;
    this.#options = options;
    this.#trouble = new Trouble(plan.logger, plan.name);
  }

  /** Ends it; the second time at once. */
  stop(): void {
    this.#told++;
    this.#stopping.abort();
    this.#place?.named();
  }

  async call(): Promise<void> {
    const stop = (): void => this.stop();
    const leave = (this.#options.signals ?? isMainThread) ? hearSignals(stop) : () => {};
    const { signal } = this.#options;
    if (signal?.aborted) stop();
    else signal?.addEventListener("abort", stop);
    try {
      await this.#serve();
    } finally {
      leave();
      signal?.removeEventListener("abort", stop);
      this.#sayHowItEnded();
    }
    if (this.#busy > 0) {
      throw new UnfinishedError(`${this.#plan.name}: ${this.#busy} handlers have not returned`, this.#busy);
    }
  }

  // --- The file. ---

  /** With the file that is at the path now, again and again if it is replaced. */
  async #serve(): Promise<void> {
    let database = this.#given;
    for (;;) {
      try {
        database ??= await this.#opened();
        if (database === undefined) return;
        await this.#serveFile(database);
        return;
      } catch (error) {
        if (!isReplaced(error)) throw error;
        this.#cancel("replaced");
        this.#finished = [];
        this.#plan.logger.warn(
          `honker: ${this.#plan.name} cancels the ${this.#busy} jobs that run and opens the file anew: ${(error as Error).message}`,
        );
        database = undefined;
      } finally {
        await this.#disown();
      }
      if (this.#told === 0) await pause(100, this.#stopping.signal);
      if (this.#told > 0) return;
    }
  }

  /** A database of its own; undefined if it is told to end before there is one. */
  async #opened(): Promise<Database | undefined> {
    while (this.#told === 0) {
      try {
        this.#own = await this.#open();
        this.#trouble.over();
        return this.#own;
      } catch (error) {
        if (!this.#trouble.passes(error)) throw error;
        await pause(this.#trouble.met(error), this.#stopping.signal);
      }
    }
    return undefined;
  }

  async #disown(): Promise<void> {
    const own = this.#own;
    this.#own = undefined;
    await own?.closeAsync().catch(() => undefined);
  }

  async #serveFile(database: Database): Promise<void> {
    const core = database.core;
    this.#core = core;
    const place = await this.#despiteTrouble(async () => core.dispatcher.enter());
    if (place === undefined) return;
    this.#place = place;
    const firing = new AbortController();
    let fired: Promise<void> | undefined;
    try {
      this.#worker = await this.#despiteTrouble(() =>
        core.runAsync("workerNew", undefined, place.token, this.#plan.queues, this.#plan.name, this.#plan.native),
      );
      if (this.#worker === undefined) return;
      fired = this.#fireSchedules(database, firing.signal);
      await this.#work(database, place);
    } finally {
      firing.abort();
      await this.#giveBack(core);
      await fired;
      place.end();
      if (this.#worker !== undefined) core.addon.free(this.#worker);
      this.#worker = this.#place = this.#core = undefined;
    }
  }

  async #despiteTrouble<T>(run: () => Promise<T>): Promise<T | undefined> {
    while (this.#told === 0) {
      try {
        const value = await run();
        this.#trouble.over();
        return value;
      } catch (error) {
        if (!this.#trouble.passes(error)) throw error;
        await pause(this.#trouble.met(error), this.#stopping.signal);
      }
    }
    return undefined;
  }

  async #fireSchedules(database: Database, signal: AbortSignal): Promise<void> {
    const { schedules } = this.#options;
    if (schedules === undefined) return;
    const scheduler = database.scheduler();
    try {
      await this.#despiteTrouble(async () => {
        for (const schedule of schedules) await scheduler.addAsync(schedule);
      });
      const stop = AbortSignal.any([signal, this.#stopping.signal]);
      await scheduler.run(`${this.#plan.name}-${process.pid}`, stop, { logger: this.#plan.logger });
    } catch (error) {
      if (isReplaced(error) || isClosed(error)) return; // the worker meets that as well
      this.#plan.logger.error(`honker: ${this.#plan.name} fires no schedules: ${errorText(error)}`);
      if (!(error instanceof HonkerError)) this.stop();
    }
  }

  // --- The loop. ---

  async #work(database: Database, place: Place): Promise<void> {
    for (;;) {
      place.expect(); // before it is looked for what it tells
      if (this.#given?.closed && this.#own === undefined) throw closedError();
      this.#advance();
      if (this.#phase !== "running" && this.#finished.length === 0 && this.#running.size === 0) return;
      if (this.#phase === "released" && this.#left() === 0) {
        if (this.#trouble.error) throw this.#trouble.error;
        return;
      }
      if (await this.#turn(database)) continue;
      await place.wait(true, this.#left());
    }
  }

  #left(): number | undefined {
    return this.#deadline === undefined ? undefined : Math.max(0, this.#deadline - performance.now());
  }

  #advance(): void {
    if (this.#phase === "running") {
      if (this.#told === 0) return;
      const { stopTimeoutS } = this.#options;
      this.#enter("stopping", stopTimeoutS === null ? undefined : (stopTimeoutS ?? 8) * 1000);
    }
    if (this.#phase !== "released" && (this.#told > 1 || this.#left() === 0)) {
      const first = this.#phase === "stopping" && this.#told < 2;
      this.#cancel("stop");
      if (first) {
        this.#enter("cancelled", graceMs);
      } else {
        this.#release();
        this.#enter("released", graceMs);
      }
    }
  }

  #enter(phase: Phase, ms: number | undefined): void {
    this.#phase = phase;
    this.#deadline = ms === undefined ? undefined : performance.now() + ms;
    if (phase === "stopping") this.#stopping = new AbortController(); // pauses go on, to the second signal
  }

  /** One commit of what is finished and of new claims: whether there may be more at once, or more has to be done. */
  async #turn(database: Database): Promise<boolean> {
    const { core } = database;
    const settlements = this.#finished.splice(0);
    const free = this.#phase === "running" ? Math.max(0, this.#plan.concurrency - this.#busy) : 0;
    const flat = settlements.flatMap((one) => [one.kind, one.job.id, one.job.serial, one.delayS, one.error]);
    try {
      const [jobs, lost, statuses, error] = await core.runAsync("workerSettleNext", undefined, this.#worker, flat, free);
      const wrong = this.#settled(settlements, statuses, error);
      for (let at = 0; at < lost.length; at += 3) this.#lose(lost[at + 1], reasons[lost[at + 2]] ?? "gone");
      const claimed = jobs === null ? 0 : jobs[0];
      for (let i = 0; i < claimed; i++) this.#start(database, jobs, i);
      if (wrong === undefined) {
        this.#trouble.over();
        if (this.#phase !== "running") return settlements.length > 0 || claimed > 0 || lost.length > 0;
        // With all that it was asked for the library rests until there is something to tell, as with nothing.
        const rests = (claimed === 0 || claimed === free) && lost.length === 0 && error === null;
        return this.#finished.length > 0 || !rests;
      }
      throw wrong;
    } catch (error) {
      if (!this.#trouble.passes(error)) throw error;
      // Of those that were not reached nothing is known but that they were not committed.
      if (!settlements.some((one) => this.#seen.has(one))) this.#finished.unshift(...settlements);
      await pause(Math.min(this.#trouble.met(error), this.#left() ?? Number.POSITIVE_INFINITY), this.#stopping.signal);
      return true;
    } finally {
      this.#seen.clear();
    }
  }

  readonly #seen = new Set<Settlement>();

  /** Counts what is settled, keeps what may be later, and lets go of what the file refuses for good; the error of the turn. */
  #settled(settlements: Settlement[], statuses: number[], error: HonkerError | null): HonkerError | undefined {
    const kept: Settlement[] = [];
    settlements.forEach((one, i) => {
      this.#seen.add(one);
      const status = statuses[i] as number;
      if (status >= 0) {
        this.#counts[one.becomes]++;
        return;
      }
      const said = new HonkerError(status, error?.message ?? "it could not be settled");
      if (said.transient || isReplaced(said)) kept.push(one);
      else this.#refused(one, said);
    });
    this.#finished.unshift(...kept);
    // A refusal of one is not an error of the turn.
    if (error === null || (settlements.length > 0 && statuses.some((status) => status >= 0) && !error.transient)) {
      return undefined;
    }
    return error.transient || kept.length > 0 || settlements.length === 0 || isReplaced(error) || isClosed(error)
      ? error
      : undefined;
  }

  #refused(one: Settlement, error: HonkerError): void {
    const { job } = one;
    this.#plan.logger.error(
      `honker: job ${job.id} of ${job.queue} could not be settled, its claim lapses, and it will be tried again: ${error.message}`,
    );
    this.#putDown(job);
  }

  #putDown(job: WorkerJob): void {
    if (this.#worker === undefined || this.#core === undefined || this.#core.closed) return;
    this.#core.run("workerSettled", undefined, this.#worker, job.id, job.serial);
  }

  // --- Jobs. ---

  #start(database: Database, claimed: Claimed, i: number): void {
    const controller = new AbortController();
    const entry = { controller, over: false } as Entry;
    entry.job = new WorkerJob(database, claimed, i, controller.signal, () => {
      entry.over = true;
      if (this.#core === database.core) this.#putDown(entry.job);
    });
    const { serial } = entry.job;
    this.#running.set(serial, entry);
    this.#busy++;
    void this.#handle(entry).finally(() => {
      this.#busy--;
      if (this.#running.get(serial) === entry) this.#running.delete(serial);
      this.#place?.named();
    });
  }

  async #handle(entry: Entry): Promise<void> {
    const { job } = entry;
    const at = async (i: number): Promise<unknown> => {
      const middleware = this.#plan.middleware[i];
      return middleware ? middleware(job, () => at(i + 1)) : this.#plan.handler(job as never);
    };
    let settlement: Omit<Settlement, "job">;
    try {
      await this.#parse(job);
      await at(0);
      settlement = { kind: Kind.ack, delayS: 0, error: undefined, becomes: "done" };
    } catch (error) {
      settlement = settlementOf(job, error);
      await this.#failed(entry, error, settlement);
    }
    if (job.isSettled) this.#counts.done += entry.over ? 0 : 1;
    else if (!entry.over) this.#finished.push({ job, ...settlement });
  }

  async #parse(job: WorkerJob): Promise<void> {
    const { parse } = this.#plan;
    if (parse === undefined) return;
    try {
      await job.parse(parse);
    } catch (error) {
      throw new Discard(`the payload is refused: ${error instanceof Error ? error.message : String(error)}`);
    }
  }

  async #failed(entry: Entry, error: unknown, settlement: Omit<Settlement, "job">): Promise<void> {
    const { job } = entry;
    if (settlement.kind === Kind.snooze || settlement.kind === Kind.release) return;
    if (error instanceof JobLost && entry.over) return;
    let next = "it is dead now";
    if (entry.over || job.isSettled) next = "it is not this worker's any more";
    else if (settlement.becomes !== "dead") next = `next try in ${await this.#nextTry(job, settlement.delayS)}`;
    this.#plan.logger.error(
      `honker: job ${job.id} of ${job.queue} failed, attempt ${job.attempts} of ${job.maxAttempts}, ${next}: ${settlement.error ?? errorText(error)}`,
    );
    void this.#report(error, job); // whatever it does, the job is settled
  }

  async #report(error: unknown, job: WorkerJob): Promise<void> {
    try {
      await this.#plan.onError?.(error, job);
    } catch (thrown) {
      this.#plan.logger.error(`honker: onError has thrown: ${errorText(thrown)}`);
    }
  }

  /** As its queue is set, or else by the options of the worker; without the jitter. */
  async #nextTry(job: WorkerJob, delayS: number): Promise<string> {
    if (delayS >= 0) return `${delayS} s`;
    let [base, factor, max] = this.#plan.backoff;
    try {
      const settings = JSON.parse(await this.#core?.runAsync("queueSettings", undefined, job.queue));
      if (settings.retry) {
        base = settings.retry.base_s;
        factor = settings.retry.factor;
        max = settings.retry.max_s;
      }
    } catch {
      // nobody knows while the file cannot be read
    }
    return `about ${Math.round(Math.min(base * factor ** (job.attempts - 1), max))} s`;
  }

  #lose(serial: number, reason: LossReason): void {
    const entry = this.#running.get(serial);
    if (entry === undefined || entry.over || entry.job.isSettled) return;
    entry.over = true;
    const { job } = entry;
    const what = reason === "timeout" ? "ran for too long and is retried" : `is not this worker's any more (${reason})`;
    this.#plan.logger.warn(
      `honker: job ${job.id} of ${job.queue}, attempt ${job.attempts} of ${job.maxAttempts}, ${what}; its handler is told`,
    );
    entry.controller.abort(new JobLost(reason, job.id));
  }

  /** Tells all handlers. */
  #cancel(reason: LossReason): void {
    for (const entry of this.#running.values()) {
      if (reason === "replaced") entry.over = true;
      entry.controller.abort(new JobLost(reason, entry.job.id));
    }
    if (reason === "replaced") this.#running.clear();
  }

  /** Gives back what runs; what its handlers do is not settled any more. */
  #release(): void {
    for (const entry of this.#running.values()) {
      if (!entry.over && !entry.job.isSettled) {
        this.#finished.push({
          job: entry.job,
          kind: Kind.release,
          delayS: 0,
          error: undefined,
          becomes: "released",
        });
      }
      entry.over = true;
    }
    this.#running.clear();
  }

  /** Whatever ended it: what is finished is settled and what runs given back, in the little time that somebody may wait. */
  async #giveBack(core: Core): Promise<void> {
    if (this.#worker === undefined) return;
    if (this.#running.size > 0) {
      this.#cancel("stop");
      this.#release();
    }
    const until = performance.now() + graceMs;
    while (this.#finished.length > 0 && !core.closed && performance.now() < until) {
      const settlements = this.#finished.splice(0);
      const flat = settlements.flatMap((one) => [one.kind, one.job.id, one.job.serial, one.delayS, one.error]);
      try {
        const [, , statuses, error] = await core.runAsync("workerSettleNext", undefined, this.#worker, flat, 0);
        this.#settled(settlements, statuses, error);
        if (this.#finished.length > 0) await pause(50);
      } catch (error) {
        if (!this.#trouble.passes(error)) return;
        this.#finished.unshift(...settlements);
        await pause(50);
      } finally {
        this.#seen.clear();
      }
    }
  }

  #sayHowItEnded(): void {
    const counts = outcomes.map((one) => `${this.#counts[one]} ${one}`).join(", ");
    this.#plan.logger.info(`honker: ${this.#plan.name} ended: ${counts}, ${this.#busy} running`);
  }
}
