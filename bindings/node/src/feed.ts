// What gives one thing after the other, when it comes: jobs, notifications, events, wakes. Nothing is read ahead: the next one
// is looked for when it is asked for.
import { signalOf } from "./check.js";
import { type Core, Resident } from "./core.js";
import type { Place } from "./dispatcher.js";
import { closedError, HonkerError } from "./errors.js";
import type { Handle } from "./native.js";

/**
 * An async iterator that waits for commits without polling. It ends when it is closed, when its signal is aborted, and when a
 * `for await` over it is left. While somebody waits for the next one, the program keeps running, unless `unref` was called.
 * Several calls of `next` at a time are answered in order.
 */
export abstract class Feed<T> extends Resident implements AsyncIterableIterator<T, undefined, undefined>, AsyncDisposable {
  /** @internal */
  protected readonly core: Core;
  /** @internal */
  protected readonly place: Place;
  /** @internal */
  protected readonly handle: Handle;
  #last: Promise<unknown> = Promise.resolve();
  #keepsRunning = true;
  #signal: AbortSignal | undefined;
  #onAbort: (() => void) | undefined;
  #running = 0;
  #freed: Promise<unknown> | undefined;

  /** @internal `make` is called with the token. */
  constructor(core: Core, make: (token: number) => Handle, signal?: AbortSignal) {
    super();
    this.core = core;
    this.place = core.dispatcher.enter();
    try {
      this.handle = make(this.place.token);
    } catch (error) {
      this.place.end();
      throw error;
    }
    this.#signal = signalOf(signal);
    if (this.#signal) {
      this.#onAbort = () => void this.finish();
      if (this.#signal.aborted) this.close();
      else this.#signal.addEventListener("abort", this.#onAbort);
    }
  }

  /** @internal Looks for one without waiting: undefined if there is none. */
  protected abstract look(): T | undefined | Promise<T | undefined>;

  async next(): Promise<IteratorResult<T, undefined>> {
    const value = await this.take();
    return value === undefined ? { done: true, value: undefined } : { done: false, value };
  }

  /** The next one, or undefined if there is none within so many milliseconds, or it is closed; 0 looks once. */
  nextWithin(ms: number): Promise<T | undefined> {
    return this.take(undefined, ms);
  }

  /** @internal The next one; undefined when it is closed, or, for this call alone, when `stop` says so or `ms` are over. */
  protected take(stop?: { readonly stopped: boolean }, ms?: number): Promise<T | undefined> {
    return this.inTurn(() => this.look(), stop, ms);
  }

  /** @internal As `take`, with what this call looks for. */
  protected inTurn<R>(
    look: () => R | undefined | Promise<R | undefined>,
    stop?: { readonly stopped: boolean },
    ms?: number,
  ): Promise<R | undefined> {
    const turn = this.#last.then(() => this.#take(look, stop, ms));
    this.#last = turn.catch(() => undefined);
    return turn;
  }

  async #take<R>(
    look: () => R | undefined | Promise<R | undefined>,
    stop: { readonly stopped: boolean } | undefined,
    ms: number | undefined,
  ): Promise<R | undefined> {
    const until = ms === undefined ? undefined : performance.now() + ms;
    const { interrupts } = this.core.dispatcher;
    while (!this.place.over && !stop?.stopped) {
      this.place.expect();
      this.#running++;
      try {
        const found = await look();
        if (found !== undefined) return found;
      } catch (error) {
        if (this.place.over) break;
        throw error;
      } finally {
        if (--this.#running === 0 && this.place.over) this.#freeAsync();
      }
      if (stop?.stopped) break;
      if (interrupts !== this.core.dispatcher.interrupts) throw new HonkerError(-28, "ended by interrupt");
      const left = until === undefined ? undefined : until - performance.now();
      if (left !== undefined && left <= 0) break;
      await this.place.wait(this.#keepsRunning, left);
    }
    return undefined;
  }

  /** @internal Makes the wait that runs look again. */
  protected nudge(): void {
    this.place.named();
  }

  /** @internal */
  protected closedError(): Error {
    return this.core.closed ? closedError() : closedError(`this ${this.constructor.name} is closed`);
  }

  /** Ends it; who waits for the next one is told that there is none. Closing again does nothing. */
  close(): void {
    if (this.place.over) return;
    this.#end();
    if (this.#running === 0) this.#free();
  }

  /** @internal As {@link close}, off the event loop; resolves when the file is not used any more. */
  protected async finish(): Promise<void> {
    if (!this.place.over) {
      this.#end();
      if (this.#running === 0) this.#freeAsync();
    }
    await this.#last; // what runs frees it
    await this.#freed;
  }

  /** @internal Whether it writes when it ends, and may have to wait for the writer; {@link lastWrite} is what is tried first. */
  protected get writesAtEnd(): boolean {
    return false;
  }

  /** @internal */
  protected async lastWrite(): Promise<void> {}

  #end(): void {
    if (this.#onAbort) this.#signal?.removeEventListener("abort", this.#onAbort);
    this.place.end();
  }

  #free(): void {
    this.core.addon.free(this.handle);
  }

  #freeAsync(): void {
    if (!this.writesAtEnd) this.#free();
    else this.#freed = this.#writeAndFree();
  }

  async #writeAndFree(): Promise<void> {
    await this.lastWrite().catch(() => undefined); // freeing tries once more
    if (this.core.closed) this.#free();
    else await this.core.runAsync("free", undefined, this.handle).catch(() => undefined);
  }

  get closed(): boolean {
    return this.place.over;
  }

  /** Waiting keeps the program running, which is the default. */
  ref(): this {
    this.#keepsRunning = true;
    return this;
  }

  /** Waiting does not keep the program running; said before the wait begins. */
  unref(): this {
    this.#keepsRunning = false;
    return this;
  }

  async return(): Promise<IteratorResult<T, undefined>> {
    await this.finish();
    return { done: true, value: undefined };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.return();
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
}

/** Tells that something was committed to the file, by anyone: a hint, after which there may be nothing new to see. */
export class UpdateEvents extends Feed<void> {
  /** @internal */
  constructor(core: Core, signal?: AbortSignal) {
    super(core, (token) => core.run("updatesNew", undefined, token), signal);
  }

  #shared: Promise<IteratorResult<void, undefined>> | undefined;

  /** @internal */
  protected override look(): undefined {
    return this.core.run("updatesNext", undefined, this.handle) === 0 ? (true as never) : undefined;
  }

  /**
   * The next wake; calls while one waits share it, so that it may be raced against a timer again and again.
   *
   * @throws HonkerError when it is closed, or the file was replaced
   */
  override next(): Promise<IteratorResult<void, undefined>> {
    this.#shared ??= this.#next().finally(() => {
      this.#shared = undefined;
    });
    return this.#shared;
  }

  async #next(): Promise<IteratorResult<void, undefined>> {
    const found = await this.take();
    if (found === undefined && this.closed) throw this.closedError();
    return { done: false, value: undefined };
  }
}
