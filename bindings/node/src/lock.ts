import { integer } from "./check.js";
import { type Core, Resident } from "./core.js";

/** A lock that was taken, until its time is over; made by {@link Database.tryLock}. */
export class Lock extends Resident implements Disposable {
  readonly #core: Core;
  readonly name: string;
  readonly owner: string;
  #released = false;

  /** @internal */
  constructor(core: Core, name: string, owner: string) {
    super();
    this.#core = core;
    this.name = name;
    this.owner = owner;
  }

  /** Whether this has given it up. */
  get released(): boolean {
    return this.#released;
  }

  /** Gives it up. False if it was not its owner's any more, which disturbs nobody. */
  release(): boolean {
    if (this.#released) return false;
    const is = this.#core.run("lockRelease", undefined, this.name, this.owner) === 0;
    this.#released = true;
    return is;
  }

  /** As {@link release}, off the event loop. */
  async releaseAsync(): Promise<boolean> {
    if (this.#released) return false;
    const is = (await this.#core.runAsync("lockRelease", undefined, this.name, this.owner)) === 0;
    this.#released = true;
    return is;
  }

  /** Prolongs it to `ttlS` seconds from now. False if somebody else has it. */
  heartbeat(ttlS: number): boolean {
    if (this.#released) return false;
    return this.#core.run("lockRenew", undefined, this.name, this.owner, integer(ttlS, "ttlS")) === 0;
  }

  /** As {@link heartbeat}, off the event loop. */
  async heartbeatAsync(ttlS: number): Promise<boolean> {
    if (this.#released) return false;
    return (await this.#core.runAsync("lockRenew", undefined, this.name, this.owner, integer(ttlS, "ttlS"))) === 0;
  }

  [Symbol.dispose](): void {
    if (!this.#core.closed) this.release();
  }
}
