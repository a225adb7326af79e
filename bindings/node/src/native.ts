// The native part: the addon, which is the same for Node and Bun, and libhonker, which the addon loads. Both are looked for in
// several places, and what was tried stands in the error.
import { existsSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { instant, text } from "./check.js";
import { HonkerError, LoadError, typeError } from "./errors.js";

/** @internal A handle of the addon's. */
export type Handle = { readonly __handle: unique symbol };
/** @internal */
export type Operation =
  | "open"
  | "free"
  | "status"
  | "interrupt"
  | "close"
  | "txBegin"
  | "txCommit"
  | "txRollback"
  | "txExecute"
  | "txQuery"
  | "query"
  | "enqueue"
  | "enqueueMany"
  | "claim"
  | "ack"
  | "ackBatch"
  | "retry"
  | "release"
  | "fail"
  | "heartbeat"
  | "cancel"
  | "sweepExpired"
  | "nextClaimAt"
  | "getJob"
  | "queueStats"
  | "metrics"
  | "queueConfigure"
  | "queueSettings"
  | "queues"
  | "deadList"
  | "deadRequeue"
  | "deadPurge"
  | "deadGroups"
  | "jobList"
  | "jobApply"
  | "batchCreate"
  | "batchSeal"
  | "batchGet"
  | "stepGet"
  | "stepSave"
  | "notify"
  | "notificationsPrune"
  | "notificationsConfigure"
  | "streamPublish"
  | "streamReadSince"
  | "streamConfigure"
  | "streamTrim"
  | "streamSaveOffset"
  | "streamGetOffset"
  | "resultSave"
  | "resultGet"
  | "resultSweep"
  | "lockAcquire"
  | "lockRenew"
  | "lockRelease"
  | "rateLimitTry"
  | "rateLimitSweep"
  | "schedulerRegister"
  | "schedulerUnregister"
  | "schedulerUpdate"
  | "schedulerPause"
  | "schedulerResume"
  | "schedulerTick"
  | "schedulerSoonest"
  | "schedulerList"
  | "waiterNew"
  | "updatesNew"
  | "updatesNext"
  | "listenerNew"
  | "listenerNext"
  | "resultWaitNew"
  | "resultWaitNext"
  | "subscriptionNew"
  | "subscriptionNext"
  | "subscriptionAck"
  | "subscriptionSave"
  | "subscriptionOffset"
  | "workerNew"
  | "workerSettleNext"
  | "workerSettled"
  | "leaderNew"
  | "leaderNext"
  | "leaderResign"
  | "outboxNew"
  | "outboxNext"
  | "outboxDelivered"
  | "outboxFailed";

/** @internal */
export interface Addon {
  load(path: string): string;
  setup(
    failure: (status: number, message: string, sqlite: number, extended: number) => Error,
    warn: (error: HonkerError) => void,
    polls: boolean,
  ): void;
  buildInfo(): string;
  cronNextAfter(expression: string, from: number | bigint): number | bigint;
  /** A database without a file, which the operation `open` opens. */
  database(busyTimeoutMs: number): Handle;
  // biome-ignore lint/suspicious/noExplicitAny: what an operation answers is known where it is called
  call(database: Handle, operation: number, tx: Handle | undefined, ...args: unknown[]): any;
  submit(database: Handle, operation: number, tx: Handle | undefined, ...args: unknown[]): Promise<unknown>;
  close(database: Handle): void;
  free(handle: Handle): void;
  startWaiter(database: Handle, waiter: Handle, ready: (tokens: number[], status: number) => void): boolean;
  refWaiter(database: Handle, on: boolean): void;
  readonly operations: Record<Operation, number>;
}

const isBun = "bun" in process.versions;

/** @internal That of package.json, as a test makes sure. */
export const packageVersion = "0.1.0";

/** @internal `linux-x64-gnu`, as the packages with the native parts are called. */
export function platformName(): string {
  const { platform, arch } = process;
  if (platform === "win32") return `win32-${arch}-msvc`;
  if (platform !== "linux") return `${platform}-${arch}`;
  return `linux-${arch}-${hasGlibc() ? "gnu" : "musl"}`;
}

function hasGlibc(): boolean {
  const report = process.report as (NodeJS.ProcessReport & { excludeNetwork?: boolean }) | undefined;
  if (report === undefined) return false;
  // Otherwise the names of all hosts that the program is connected to are looked up, which may take long.
  const before = report.excludeNetwork;
  report.excludeNetwork = true;
  const { header } = report.getReport() as { header?: { glibcVersionRuntime?: string } };
  report.excludeNetwork = before ?? false;
  return header?.glibcVersionRuntime !== undefined;
}

const libraryFile =
  process.platform === "win32" ? "honker.dll" : process.platform === "darwin" ? "libhonker.dylib" : "libhonker.so";

/** @internal Those that there are packages for, as a test makes sure. */
export const platformNames: ReadonlySet<string> = new Set([
  "darwin-arm64",
  "darwin-x64",
  "linux-arm64-gnu",
  "linux-arm64-musl",
  "linux-x64-gnu",
  "linux-x64-musl",
  "win32-x64-msvc",
]);

function platformDirectory(tried: string[]): string | undefined {
  const name = `@russellthehippo/honker-node-${platformName()}`;
  try {
    const description = require.resolve(`${name}/package.json`);
    const { version } = require(description) as { version: string };
    if (version === packageVersion) return dirname(description);
    const wanted = `${name}@${packageVersion}`;
    tried.push(
      `${dirname(description)}: it is version ${version}, and this package is version ${packageVersion}, which needs the same: ` +
        `remove the lock file and node_modules and install again, or install ${wanted} beside it`,
    );
  } catch {
    tried.push(
      platformNames.has(platformName())
        ? `${name}: not installed. It is an optional dependency: npm leaves it out without an error where it has been told to, or ` +
            "where its lock file was made on another platform; remove node_modules and the lock file, and install again"
        : `${name}: there is no package for this platform; what is built of honker's sources for it can be named by ` +
            "NAPI_RS_NATIVE_LIBRARY_PATH (the addon) and HONKER_LIBRARY (libhonker)",
    );
  }
  return undefined;
}

function loadAddon(): { addon: Addon; directory: string } {
  const tried: string[] = [];
  const load = (path: string, named = ""): { addon: Addon; directory: string } | undefined => {
    if (!existsSync(path)) {
      tried.push(`${path}${named}: there is no such file`);
      return undefined;
    }
    try {
      return { addon: require(path) as Addon, directory: dirname(path) };
    } catch (error) {
      tried.push(`${path}${named}: ${(error as Error).message}`);
      return undefined;
    }
  };
  const variable = process.env.NAPI_RS_NATIVE_LIBRARY_PATH;
  const found =
    (variable ? load(resolve(variable), ", of NAPI_RS_NATIVE_LIBRARY_PATH") : undefined) ??
    load(join(__dirname, "honker.node"));
  if (found) return found;
  const directory = platformDirectory(tried);
  const there = directory === undefined ? undefined : load(join(directory, "honker.node"));
  if (there) return there;
  throw new LoadError(`the native part of honker could not be loaded. Tried:\n  ${tried.join("\n  ")}`);
}

/** Loads libhonker, from the first place that has it; the place. */
function loadLibrary(addon: Addon, directory: string, libraryPath: string | undefined): string {
  const tried: string[] = [];
  const load = (place: string, named = ""): boolean => {
    const why = addon.load(place);
    if (why !== "") tried.push(`${place}${named}: ${why.startsWith(`${place}: `) ? why.slice(place.length + 2) : why}`);
    return why === "";
  };
  const failed = (): never => {
    throw new LoadError(
      `libhonker could not be loaded. Tried:\n  ${tried.join("\n  ")}\nHONKER_LIBRARY or libraryPath may name it.`,
    );
  };
  const named = libraryPath || process.env.HONKER_LIBRARY;
  if (named) return load(named, libraryPath ? ", of libraryPath" : ", of HONKER_LIBRARY") ? named : failed();
  const beside = join(directory, libraryFile);
  if (load(beside)) return beside;
  const platform = platformDirectory(tried);
  if (platform !== undefined && platform !== directory && load(join(platform, libraryFile)))
    return join(platform, libraryFile);
  return load(libraryFile) ? libraryFile : failed();
}

let loaded: Addon | undefined;
let loadedFrom: string | undefined;

/**
 * @internal The addon, with libhonker loaded: from `libraryPath`, the variable HONKER_LIBRARY, beside the addon, the platform's
 * package, or wherever the system finds it.
 */
export function native(libraryPath?: string): Addon {
  if (loaded !== undefined) {
    if (libraryPath !== undefined && libraryPath !== loadedFrom) {
      throw new LoadError(
        `libhonker was loaded from ${loadedFrom} already, and cannot be loaded from ${libraryPath} as well`,
      );
    }
    return loaded;
  }
  const { addon, directory } = loadAddon();
  loadedFrom = loadLibrary(addon, directory, libraryPath);
  addon.setup(
    (status, message, sqlite, extended) => new HonkerError(status, message, sqlite, extended),
    (error) => process.emitWarning(error.message, { type: "HonkerWarning", code: error.code }),
    !isBun && process.platform !== "win32",
  );
  loaded = addon;
  return addon;
}

/** What the library was built from, for bug reports. */
export function buildInfo(): Record<string, unknown> {
  return JSON.parse(native().buildInfo());
}

/** The first boundary of a schedule's expression after an instant, both in Unix seconds. */
export function cronNextAfter(expression: string, from: number | Date): number {
  const after = instant(from, "from");
  if (after === undefined) throw typeError("from must be Unix seconds, or a Date");
  return native().cronNextAfter(text(expression, "expression"), after) as number;
}
