// What a handler throws to say what becomes of its job, and what it is told when the job is lost.
import { integer } from "./check.js";
import { rangeError } from "./errors.js";

function delay(delayS: unknown): number {
  const seconds = integer(delayS, "delayS");
  if (seconds < 0) throw rangeError("delayS must not be negative");
  return Number(seconds);
}

/** Thrown by a handler: the job is tried again in `delayS` seconds, by the worker's backoff if that is left out. */
export class Retry extends Error {
  readonly delayS: number | undefined;

  constructor(message = "", options?: { delayS?: number; cause?: unknown }) {
    super(message, options?.cause === undefined ? undefined : { cause: options.cause });
    this.delayS = options?.delayS === undefined ? undefined : delay(options.delayS);
  }

  static {
    Retry.prototype.name = "Retry";
  }
}

/** Thrown by a handler, also as the cause of another error: the job can never be done, and is dead. */
export class Discard extends Error {
  static {
    Discard.prototype.name = "Discard";
  }
}

/** @internal The error, or what has caused it, if that discards the job. */
export function discardOf(error: unknown): Discard | undefined {
  const seen = new Set<unknown>(); // a chain may be a circle
  for (let at = error; at instanceof Error && !seen.has(at); at = at.cause) {
    if (at instanceof Discard) return at;
    seen.add(at);
  }
  return undefined;
}

/** Thrown by a handler: the job goes back, due in `delayS` seconds, and this attempt does not count. */
export class Snooze extends Error {
  constructor(readonly delayS: number) {
    super(`snoozed for ${delay(delayS)} s`);
  }

  static {
    Snooze.prototype.name = "Snooze";
  }
}

/**
 * Why a job's signal is aborted. `gone`: it was cancelled, deleted, or settled by somebody else; `lapsed`: its claim is over;
 * `taken`: it was claimed again; `timeout`: it ran for longer than it may; `stop`: the worker ends; `replaced`: the file was
 * replaced by another.
 */
export type LossReason = "gone" | "lapsed" | "taken" | "timeout" | "stop" | "replaced";

const texts: Record<LossReason, string> = {
  gone: "it was cancelled, or settled by somebody else",
  lapsed: "its claim is over",
  taken: "it was claimed again",
  timeout: "it ran for longer than it may",
  stop: "the worker ends",
  replaced: "the file was replaced",
};

/** The reason of an aborted {@link WorkerJob.signal}. */
export class JobLost extends Error {
  readonly code = "HONKER_JOB_LOST";

  constructor(
    readonly reason: LossReason,
    jobId: number,
  ) {
    super(`job ${jobId} should end: ${texts[reason]}`);
  }

  static {
    JobLost.prototype.name = "JobLost";
  }
}
