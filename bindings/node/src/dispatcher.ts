// The one place of a database where everything waits. The addon calls it with the tokens of those that have work; each is then
// looked at by whoever waits for it.
import type { Core } from "./core.js";
import type { Handle } from "./native.js";

/** @internal Something of the library's that is waited for, with its place at the waiter. */
export class Place {
  readonly token: number;
  #named = false;
  #over = false;
  #wake: (() => void) | undefined;

  constructor(
    readonly dispatcher: Dispatcher,
    token: number,
  ) {
    this.token = token;
  }

  /** It has work, or there will never be any. */
  named(): void {
    this.#named = true;
    this.#wake?.();
  }

  /** Ends the wait that runs and all later ones. */
  end(): void {
    this.#over = true;
    this.dispatcher.leave(this);
    this.named();
  }

  get over(): boolean {
    return this.#over;
  }

  /** To be called before it is looked whether there is something. */
  expect(): void {
    this.#named = false;
  }

  /** Until it is named, or `ms` are over; a wait that runs keeps the program running. One at a time. */
  async wait(keepsRunning: boolean, ms?: number): Promise<void> {
    if (this.#named || this.#over) return;
    if (keepsRunning) this.dispatcher.hold();
    let timer: NodeJS.Timeout | undefined;
    try {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
        if (ms !== undefined) timer = setTimeout(resolve, Math.min(ms, 0x7fffffff));
      });
    } finally {
      this.#wake = undefined;
      clearTimeout(timer);
      if (keepsRunning) this.dispatcher.letGo();
    }
  }
}

/** @internal */
export class Dispatcher {
  readonly #core: Core;
  readonly #places = new Map<number, Place>();
  #waiter: Handle | undefined;
  #lastToken = 0;
  #holds = 0;
  #dead = false;

  constructor(core: Core) {
    this.#core = core;
  }

  enter(): Place {
    this.#core.check();
    if (this.#waiter === undefined) {
      this.#waiter = this.#core.run("waiterNew", undefined) as Handle;
      this.#core.addon.startWaiter(this.#core.handle, this.#waiter, (tokens, status) => this.#ready(tokens, status));
      if (this.#holds > 0) this.#core.addon.refWaiter(this.#core.handle, true);
    }
    const place = new Place(this, ++this.#lastToken);
    this.#places.set(place.token, place);
    if (this.#dead) place.named();
    return place;
  }

  leave(place: Place): void {
    this.#places.delete(place.token);
  }

  hold(): void {
    if (this.#holds++ === 0 && this.#waiter !== undefined) this.#core.addon.refWaiter(this.#core.handle, true);
  }

  letGo(): void {
    if (--this.#holds === 0 && this.#waiter !== undefined && !this.#core.closed) {
      this.#core.addon.refWaiter(this.#core.handle, false);
    }
  }

  #ready(tokens: number[], status: number): void {
    for (const token of tokens) this.#places.get(token)?.named();
    // The file was replaced: each finds that out by its next call. 3 is HONKER_WOKEN.
    if (status !== 0 && status !== 3) {
      this.#dead = true;
      for (const place of [...this.#places.values()]) place.named();
    }
  }

  /** How often waits were interrupted. */
  interrupts = 0;

  /** Ends the waits that run. */
  interrupt(): void {
    this.interrupts++;
    for (const place of [...this.#places.values()]) place.named();
  }

  /** The database is being closed. */
  over(): void {
    if (this.#holds > 0 && this.#waiter !== undefined) this.#core.addon.refWaiter(this.#core.handle, false);
    for (const place of [...this.#places.values()]) place.end();
  }
}
