// Errors that pass by themselves, as a loop meets them: said once, waited out with growing pauses, and said once more when they
// are over.
import { HonkerError } from "./errors.js";

/** Where a worker says what happens: `console`, and whatever has the same three methods. */
export interface Logger {
  info(message: string): void;
  warn(message: string): void;
  error(message: string): void;
}

/** @internal Notes go where errors go: the standard output belongs to the program. */
export const defaultLogger: Logger = {
  info: (message) => console.error(message),
  warn: (message) => console.error(message),
  error: (message) => console.error(message),
};

const pauseMin = 100;
const pauseMax = 10_000;

/** @internal */
export class Trouble {
  #error: HonkerError | undefined;
  #pause = pauseMin;

  constructor(
    readonly logger: Logger,
    readonly who: string,
  ) {}

  passes(error: unknown): error is HonkerError {
    return error instanceof HonkerError && error.transient;
  }

  /** How many milliseconds to wait after this one. It is said if it is the first, or of another kind than the one before. */
  met(error: HonkerError): number {
    if (error.code !== this.#error?.code) {
      this.logger.warn(`honker: ${this.who} waits and tries again: ${error.message} (${error.code})`);
    }
    this.#pause = this.#error ? Math.min(this.#pause * 2, pauseMax) : pauseMin;
    this.#error = error;
    return this.#pause;
  }

  over(): void {
    if (this.#error === undefined) return;
    this.#error = undefined;
    this.logger.info(`honker: ${this.who} works again`);
  }

  get error(): HonkerError | undefined {
    return this.#error;
  }
}

/** @internal Waits, or until the signal is aborted. */
export function pause(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted) return resolve();
    const done = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal?.addEventListener("abort", done);
  });
}
