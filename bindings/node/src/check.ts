// What users give is checked here, before anything is done: a wrong type is a TypeError, a value that cannot be a RangeError.
import { rangeError, typeError } from "./errors.js";

/** @internal What was given, for a message. */
export function shown(value: unknown): string {
  if (value === null) return "null";
  if (typeof value === "string")
    return value.length > 40 ? `${JSON.stringify(value.slice(0, 40))}…` : JSON.stringify(value);
  if (typeof value === "bigint") return `${value}n`;
  if (typeof value === "object") return value.constructor?.name ?? "an object";
  return typeof value === "function" ? "a function" : String(value);
}

/** @internal */
export function text(value: unknown, name: string): string {
  if (typeof value !== "string") throw typeError(`${name} must be a string, not ${shown(value)}`);
  if (!value.isWellFormed()) throw rangeError(`${name} must be well-formed Unicode: it has half of a surrogate pair`);
  return value;
}

/** @internal */
export const optionalText = (value: unknown, name: string): string | undefined =>
  value === undefined || value === null ? undefined : text(value, name);

/** @internal A whole number. */
export function integer(value: unknown, name: string): number | bigint {
  if (typeof value === "number") {
    if (Number.isSafeInteger(value)) return value;
    throw rangeError(`${name} must be a whole number, exactly: ${value} is not`);
  }
  if (typeof value === "bigint") {
    if (BigInt.asIntN(64, value) === value) return value;
    throw rangeError(`${name} must be an integer of 64 bits`);
  }
  throw typeError(`${name} must be a whole number, not ${shown(value)}`);
}

/** @internal */
export const optionalInteger = (value: unknown, name: string): number | bigint | undefined =>
  value === undefined || value === null ? undefined : integer(value, name);

/** @internal */
export function positive(value: unknown, name: string): number {
  const number = integer(value, name);
  if (number <= 0) throw rangeError(`${name} must be positive`);
  return number as number; // or a bigint, for the library
}

/** @internal An instant in Unix seconds, or a Date. */
export function instant(value: unknown, name: string): number | bigint | undefined {
  if (value instanceof Date) {
    const seconds = Math.floor(value.getTime() / 1000);
    if (!Number.isSafeInteger(seconds)) throw rangeError(`${name} must be a valid Date`);
    return seconds;
  }
  return optionalInteger(value, name);
}

/** @internal Seconds as milliseconds for a wait: undefined for the default, null for never. */
export function fallbackMs(value: unknown, name: string, defaultS: number): number {
  if (value === null) return -1;
  if (value === undefined) return defaultS * 1000;
  if (typeof value !== "number") throw typeError(`${name} must be a number of seconds or null, not ${shown(value)}`);
  if (!(value > 0 && value < 1e9)) throw rangeError(`${name} must be positive`);
  return Math.max(1, Math.round(value * 1000));
}

/** @internal One of the names of an enumeration, as its number. */
export function choice<T extends Record<string, number>>(value: unknown, name: string, all: T): number | undefined {
  if (value === undefined || value === null) return undefined;
  const found = typeof value === "string" && Object.hasOwn(all, value) ? all[value] : undefined;
  if (found === undefined) throw rangeError(`${name} must be one of ${Object.keys(all).join(", ")}, not ${shown(value)}`);
  return found;
}

/** @internal Options: an object, with no other keys than these. */
export function options<T extends object>(
  value: T | undefined | null,
  known: ReadonlySet<string>,
  what: string,
): Partial<T> {
  if (value === undefined || value === null) return {};
  if (typeof value !== "object" || Array.isArray(value)) throw typeError(`${what} must be an object, not ${shown(value)}`);
  for (const key in value) {
    if (!known.has(key)) throw typeError(`${what} have no ${key}: there are ${[...known].join(", ")}`);
  }
  return value;
}

/** @internal */
export function functionOf<F>(value: F, name: string): F {
  if (typeof value !== "function") throw typeError(`${name} must be a function, not ${shown(value)}`);
  return value;
}

/** @internal */
export function signalOf(value: AbortSignal | undefined | null): AbortSignal | undefined {
  if (value === undefined || value === null) return undefined;
  if (typeof value !== "object" || typeof value.addEventListener !== "function" || typeof value.aborted !== "boolean") {
    throw typeError(`signal must be an AbortSignal, not ${shown(value)}`);
  }
  return value;
}
