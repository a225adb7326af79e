// JSON as every package writes and reads it. Integers that a number does not hold exactly are bigints, both ways.
import { randomUUID } from "node:crypto";
import { text as checkedText, shown } from "./check.js";
import { typeError } from "./errors.js";

/** A payload that is this text, as it is: JSON that was written already, or no JSON at all. */
export class RawText {
  constructor(readonly text: string) {}
}

/** In front of the digits of a bigint, while it is a string. Nobody who writes a payload knows it. */
const mark = `honker-integer-${randomUUID()}:`;
const marked = new RegExp(`"${mark}(-?\\d+)"`, "g");

/** @internal */
export function encode(value: unknown, name = "payload"): string {
  if (value instanceof RawText) return checkedText(value.text, name);
  let text: string | undefined;
  try {
    text = stringify(value);
  } catch (error) {
    throw typeError(`${name} cannot be written as JSON: ${error instanceof Error ? error.message : shown(error)}`);
  }
  if (text === undefined) throw typeError(`${name} cannot be written as JSON: it is ${typeof value}`);
  return text;
}

function stringify(value: unknown): string | undefined {
  try {
    return JSON.stringify(value);
  } catch (error) {
    if (!(error instanceof TypeError) || !/BigInt/.test(error.message)) throw error;
    const text = JSON.stringify(value, (_, one) => (typeof one === "bigint" ? `${mark}${one}` : one));
    return text?.replace(marked, "$1");
  }
}

const digits = /\d{16}/;
const tokens = /"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g;

/** @internal Throws a SyntaxError for what is no JSON. */
export function decode(text: string): unknown {
  if (!digits.test(text)) return JSON.parse(text);
  JSON.parse(text); // so that only JSON is rewritten
  const rewritten = text.replace(tokens, (token) =>
    /^-?\d{16,}$/.test(token) && !Number.isSafeInteger(Number(token)) ? `"${mark}${token}"` : token,
  );
  if (rewritten === text) return JSON.parse(text);
  return JSON.parse(rewritten, (_, one) =>
    typeof one === "string" && one.startsWith(mark) ? BigInt(one.slice(mark.length)) : one,
  );
}

/** @internal The value of a payload; the text itself if it is no JSON. */
export function payloadOf(text: string): unknown {
  if (text === "") return null;
  try {
    return decode(text);
  } catch {
    return text;
  }
}

const camel = (name: string): string => name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());
const snake = (name: string): string => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);

/** @internal What the library answers, with the names of its keys as JavaScript has them; those of `raw` are kept whole. */
export function camelKeys(value: unknown, raw: ReadonlySet<string> = new Set()): unknown {
  if (Array.isArray(value)) return value.map((one) => camelKeys(one, raw));
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, one]) => [camel(key), raw.has(key) ? one : camelKeys(one, raw)]),
  );
}

/** @internal The other way round. */
export function snakeKeys(value: unknown, raw: ReadonlySet<string> = new Set()): unknown {
  if (Array.isArray(value)) return value.map((one) => snakeKeys(one, raw));
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(
    Object.entries(value)
      .filter(([, one]) => one !== undefined)
      .map(([key, one]) => [snake(key), raw.has(key) ? one : snakeKeys(one, raw)]),
  );
}
