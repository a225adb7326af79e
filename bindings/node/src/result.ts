import { integer, signalOf } from "./check.js";
import type { Core } from "./core.js";
import { rangeError, TimeoutError } from "./errors.js";
import { Feed } from "./feed.js";

/** How long to wait for the result of a job. */
export interface WaitResultOptions {
  /** Seconds; default: without end. */
  timeoutS?: number | null;
  /** Ends the waiting with the reason of the abort. */
  signal?: AbortSignal;
}

class ResultWait extends Feed<string> {
  constructor(core: Core, id: number | bigint) {
    super(core, (token) => core.run("resultWaitNew", undefined, token, id));
  }

  protected override look(): string | undefined {
    const found = this.core.run("resultWaitNext", undefined, this.handle);
    return typeof found === "string" ? found : undefined;
  }

  async until(id: number, timeoutS: number | undefined, signal: AbortSignal | undefined): Promise<string> {
    const stop = { stopped: signal?.aborted ?? false };
    const abort = (): void => {
      stop.stopped = true;
      this.nudge();
    };
    signal?.addEventListener("abort", abort);
    try {
      const found = await this.take(stop, timeoutS === undefined ? undefined : timeoutS * 1000);
      if (found !== undefined) return found;
      if (this.closed) throw this.closedError();
      if (stop.stopped) throw signal?.reason;
      throw new TimeoutError(`waitResult(${id}) timed out`);
    } finally {
      signal?.removeEventListener("abort", abort);
      this.close();
    }
  }
}

/** @internal */
export async function waitResult(core: Core, id: number, options: WaitResultOptions = {}): Promise<string> {
  const { timeoutS, signal } = options;
  if (typeof timeoutS === "number" && !(timeoutS >= 0)) throw rangeError("timeoutS must not be negative");
  return new ResultWait(core, integer(id, "id")).until(id, timeoutS ?? undefined, signalOf(signal));
}
