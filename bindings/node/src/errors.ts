import { errorCodes, type HonkerErrorCode, transientCodes } from "./abi.js";

/**
 * What went wrong in the database. Bad arguments are a `TypeError` or a `RangeError`, with the code `HONKER_INVALID`, and
 * nothing has been done then.
 */
export class HonkerError extends Error {
  /** The status of the C library that it stands for, by its name: `HONKER_BUSY`. */
  readonly code: HonkerErrorCode;
  /** The same as a number. */
  readonly status: number;
  /** SQLite's primary result code; 0 if it was not SQLite that refused. */
  readonly sqliteCode: number;
  /** SQLite's extended result code. */
  readonly sqliteExtendedCode: number;

  constructor(status: number, message: string, sqliteCode = 0, sqliteExtendedCode = 0) {
    super(message);
    this.status = status;
    this.code = errorCodes.get(status) ?? "HONKER_UNKNOWN";
    this.sqliteCode = sqliteCode;
    this.sqliteExtendedCode = sqliteExtendedCode;
  }

  /** Whether it passes by itself, so that the same call may succeed later: another process holds the lock, the disk is full. */
  get transient(): boolean {
    return transientCodes.has(this.code);
  }

  static {
    HonkerError.prototype.name = "HonkerError";
  }
}

/** No native part of the package, or no libhonker, could be loaded. The message lists every place that was tried, and why. */
export class LoadError extends Error {
  readonly code = "HONKER_LOAD";

  static {
    LoadError.prototype.name = "LoadError";
  }
}

/** The result of a job did not come in time. */
export class TimeoutError extends Error {
  readonly code = "HONKER_TIMEOUT";

  static {
    TimeoutError.prototype.name = "TimeoutError";
  }
}

/** Handlers had not returned when a worker ended. */
export class UnfinishedError extends Error {
  readonly code = "HONKER_UNFINISHED";

  constructor(
    message: string,
    /** How many are still running. */
    readonly running: number,
  ) {
    super(message);
  }

  static {
    UnfinishedError.prototype.name = "UnfinishedError";
  }
}

type Coded<E> = E & { code: "HONKER_INVALID" };

/** @internal */
export function typeError(message: string): Coded<TypeError> {
  return Object.assign(new TypeError(message), { code: "HONKER_INVALID" as const });
}

/** @internal */
export function rangeError(message: string): Coded<RangeError> {
  return Object.assign(new RangeError(message), { code: "HONKER_INVALID" as const });
}

/** @internal Whether it is what was given that is refused, so that the same call never succeeds. */
export const isRefusal = (error: unknown): boolean =>
  ["HONKER_INVALID", "HONKER_UTF8", "HONKER_TOO_BIG"].includes((error as { code?: string } | null)?.code ?? "");

/** @internal */
export const misuse = (message: string): HonkerError => new HonkerError(-20, message);
/** @internal */
export const closedError = (message = "Database is closed"): HonkerError => new HonkerError(-25, message);
