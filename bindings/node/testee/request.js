// What a request of the suite says, and how values are written.
const { honker } = require("./package.js");
const { decode } = require("./package.js").json;

/** Ends a request with something else than `ok`. */
class Otherwise extends Error {
  constructor(answer) {
    super(JSON.stringify(answer));
    this.answer = answer;
  }
}

const snake = (name) => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
const camel = (name) => name.replace(/_([a-z])/g, (_, letter) => letter.toUpperCase());

/** The names of an object's keys, but of those within `metadata` and the like, by a function. */
function renamed(value, name) {
  if (Array.isArray(value)) return value.map((one) => renamed(one, name));
  if (value === null || typeof value !== "object") return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, one]) => [
      name(key),
      key === "metadata" || key === "payload" ? one : renamed(one, name),
    ]),
  );
}

const toSnake = (value) => renamed(value, snake);
const toCamel = (value) => renamed(value, camel);

function stored(text) {
  try {
    return decode(text);
  } catch {
    return { $text: text };
  }
}

/** An object of the package's that has a payload, as the suite has it. */
function row(object) {
  return { ...toSnake(object), payload: stored(object.payloadText) };
}

class Request {
  constructor(testee, keys, lane) {
    this.testee = testee;
    this.keys = keys;
    this.lane = lane;
  }

  has(key) {
    return Object.hasOwn(this.keys, key);
  }

  get on() {
    return this.testee.handle(this.keys.on);
  }

  get tx() {
    return this.has("tx") ? this.testee.handle(this.keys.tx) : undefined;
  }

  get within() {
    return this.has("tx") ? { tx: this.tx } : {};
  }

  /** Calls a method: by its plain form if this lane has a transaction open that this is not part of. */
  call(object, name, ...args) {
    const nested = !this.has("tx") && [...this.lane.transactions].some((tx) => !tx.finished);
    const method = nested || object[`${name}Async`] === undefined ? name : `${name}Async`;
    return object[method](...args);
  }

  async keep(make) {
    const name = this.keys.as;
    if (this.testee.handles.has(name)) await this.testee.drop(name);
    const made = await make();
    this.testee.handles.set(name, made);
    return {};
  }

  payload(value = this.keys.payload) {
    if (typeof value === "object" && value !== null && Object.hasOwn(value, "$text"))
      return new honker.RawText(value.$text);
    return value;
  }

  /** The arguments that were given, under the package's names. */
  options(names) {
    return Object.fromEntries(
      Object.entries(names)
        .filter(([key]) => this.has(key))
        .map(([key, name]) => [name, this.keys[key]]),
    );
  }

  get enqueueOptions() {
    const options = this.options({
      delay_s: "delay",
      run_at: "runAt",
      priority: "priority",
      expires_s: "expires",
      metadata: "metadata",
      concurrency_key: "concurrencyKey",
      batch_id: "batch",
      unique_key: "uniqueKey",
      unique_until: "uniqueUntil",
      unique_for_s: "uniqueForS",
      on_conflict: "onConflict",
      max_run_s: "maxRunS",
    });
    if (this.has("member")) options.member = { id: this.keys.member.job_id, workerId: this.keys.member.worker_id };
    const budget = noAttempts.get(this.on);
    return { ...options, ...(budget === undefined ? {} : { maxAttempts: budget }), ...this.within };
  }

  settled(done) {
    if (!done) throw new Otherwise({ outcome: "LOST" });
    return {};
  }

  found(value, outcome) {
    if (value === null || value === undefined) throw new Otherwise({ outcome });
    return value;
  }

  /** Null is one. */
  value(value, outcome) {
    if (value === undefined) throw new Otherwise({ outcome });
    return { value };
  }

  jobs(jobs) {
    return jobs.map((job) => ({
      id: job.id,
      queue: job.queue,
      payload: stored(job.payloadText),
      worker: job.workerId,
      attempts: job.attempts,
      ...(Object.keys(job.metadata).length > 0 ? { metadata: job.metadata } : {}),
    }));
  }
}

/** How many attempts the jobs of a queue or an outbox have, if that is less than one, which is refused for those. */
const noAttempts = new WeakMap();

module.exports = { Otherwise, Request, noAttempts, row, stored, toCamel, toSnake };
