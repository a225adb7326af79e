// Claiming as jobs come: by the core's worker, which waits for the commits that matter to its queue. It claims under the name
// that was given, and leaves the claims to whoever has the job.
import { positive, signalOf, text } from "./check.js";
import { type Core, Resident } from "./core.js";
import { Feed } from "./feed.js";
import { type Job, jobsOf } from "./job.js";
import type { Handle } from "./native.js";
import type { Queue } from "./queue.js";

/** @internal Up to `n` jobs, claimed by a worker of the core's. */
async function claimNext<P>(core: Core, worker: Handle, n: number): Promise<Job<P>[]> {
  for (;;) {
    const [jobs, lost, , error] = await core.runAsync("workerSettleNext", undefined, worker, [], n);
    if (error) throw error;
    // Nobody asked about those that were lost.
    const claimed = jobsOf<P>(core, jobs);
    if (claimed.length > 0 || lost.length === 0) return claimed;
  }
}

/** @internal */
export function makeClaimer(core: Core, queue: Queue<never>, worker: string, fallbackMs: number) {
  return (token: number): Handle =>
    core.run("workerNew", undefined, token, [queue.name, 1, -1], worker, [
      queue.visibilityTimeoutS,
      fallbackMs,
      undefined,
      undefined,
      undefined,
      undefined,
      undefined,
      0,
      0,
    ]);
}

/** Jobs of a queue as they come; made by {@link Queue.claim}. */
export class ClaimIterator<P = unknown> extends Feed<Job<P>> {
  /** @internal */
  constructor(core: Core, queue: Queue<P>, worker: string, fallbackMs: number, signal?: AbortSignal) {
    super(core, makeClaimer(core, queue as Queue<never>, worker, fallbackMs), signal);
  }

  /** @internal */
  protected override async look(): Promise<Job<P> | undefined> {
    return (await claimNext<P>(this.core, this.handle, 1))[0];
  }

  /** Up to `n` jobs, claimed in one commit, as soon as there is one; none when the time is over, or it is closed. */
  async nextBatch(n: number, ms?: number): Promise<Job<P>[]> {
    positive(n, "n");
    const look = async (): Promise<Job<P>[] | undefined> => {
      const jobs = await claimNext<P>(this.core, this.handle, n);
      return jobs.length > 0 ? jobs : undefined;
    };
    return (await this.inTurn(look, undefined, ms)) ?? [];
  }
}

/** Waits for the next job of a queue, for whichever worker asks; made by {@link Queue.claimWaker}. */
export class ClaimWaker<P = unknown> extends Resident implements Disposable {
  readonly #core: Core;
  readonly #queue: Queue<P>;
  readonly #fallbackMs: number;
  readonly #claimers = new Map<string, Claimer<P>>();
  #closed = false;

  /** @internal */
  constructor(core: Core, queue: Queue<P>, fallbackMs: number) {
    super();
    core.check();
    this.#core = core;
    this.#queue = queue;
    this.#fallbackMs = fallbackMs;
  }

  #claimer(worker: string): Claimer<P> {
    let claimer = this.#claimers.get(text(worker, "worker"));
    if (claimer === undefined || claimer.closed) {
      claimer = new Claimer<P>(this.#core, this.#queue, worker, this.#fallbackMs);
      this.#claimers.set(worker, claimer);
    }
    return claimer;
  }

  /** The next job, claimed for `worker`, as soon as there is one; null when this is closed, or the signal is aborted. */
  async next(worker: string, options?: { signal?: AbortSignal }): Promise<Job<P> | null> {
    const signal = signalOf(options?.signal);
    if (this.#closed || signal?.aborted) return null;
    return this.#claimer(worker).until(signal);
  }

  /** A job if there is one now; else null. */
  async tryNext(worker: string): Promise<Job<P> | null> {
    return this.#closed ? null : this.#claimer(worker).atOnce();
  }

  /** Ends it, and the waits that run, which answer null. */
  close(): void {
    this.#closed = true;
    for (const claimer of this.#claimers.values()) claimer.close();
    this.#claimers.clear();
  }

  get closed(): boolean {
    return this.#closed;
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

class Claimer<P> extends ClaimIterator<P> {
  async until(signal: AbortSignal | undefined): Promise<Job<P> | null> {
    const stop = { stopped: false };
    const abort = (): void => {
      stop.stopped = true;
      this.nudge();
    };
    signal?.addEventListener("abort", abort);
    try {
      return (await this.take(stop)) ?? null;
    } finally {
      signal?.removeEventListener("abort", abort);
    }
  }

  async atOnce(): Promise<Job<P> | null> {
    return (await this.take(undefined, 0)) ?? null;
  }
}
