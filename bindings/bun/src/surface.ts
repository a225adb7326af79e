// What this package says otherwise than the one for Node. Both are compiled from the same source, and this one has modules of its
// own: where Bun's users know another form, the methods are replaced here, so that everything that makes or takes one of these
// objects has it. index.ts has the types.
import { options as checked, fallbackMs, shown } from "../../node/src/check.js";
import { ClaimWaker } from "../../node/src/claim.js";
import { Database } from "../../node/src/database.js";
import { rangeError, typeError } from "../../node/src/errors.js";
import { Listener } from "../../node/src/listen.js";
import { Queue } from "../../node/src/queue.js";
import { Scheduler } from "../../node/src/scheduler.js";
import { Stream, Subscription } from "../../node/src/stream.js";
import { Transaction } from "../../node/src/transaction.js";

// biome-ignore lint/suspicious/noExplicitAny: the types of what is replaced are in index.ts
type Any = any;

/** `replacement` is given the method that it replaces. */
function replace(type: abstract new (...args: never[]) => object, name: string, replacement: (before: Any) => Any): void {
  const before = (type.prototype as Any)[name];
  if (typeof before !== "function") throw new Error(`${type.name} has no ${name}`);
  Object.defineProperty(type.prototype, name, { value: replacement(before), writable: true, configurable: true });
}

/** How often something was looked at, once; nothing is any more. */
function withoutPoll<T extends { pollMs?: unknown }>(options: T | null | undefined): Omit<T, "pollMs"> | undefined {
  if (options === undefined || options === null || typeof options !== "object") return options as undefined;
  const { pollMs, ...rest } = options;
  if (pollMs !== undefined && pollMs !== null) {
    if (typeof pollMs !== "number") throw typeError(`pollMs must be a number, not ${shown(pollMs)}`);
    if (!(pollMs > 0)) throw rangeError("pollMs must be positive");
  }
  return rest;
}

function stamped<T extends { createdAt: number }>(event: T | undefined): T | undefined {
  return event && Object.assign(event, { created_at: event.createdAt });
}

// --- Transactions: a query answers one row, and one of another name all of them. ---

for (const [name, all] of [
  ["query", "queryAll"],
  ["queryAsync", "queryAllAsync"],
] as const) {
  Object.defineProperty(Transaction.prototype, all, {
    value: Transaction.prototype[name],
    writable: true,
    configurable: true,
  });
}

replace(
  Transaction,
  "query",
  (query) =>
    function (this: Transaction, ...args: unknown[]) {
      return query.apply(this, args)[0] ?? null;
    },
);
replace(
  Transaction,
  "queryAsync",
  (query) =>
    async function (this: Transaction, ...args: unknown[]) {
      return (await query.apply(this, args))[0] ?? null;
    },
);
Object.defineProperty(Transaction.prototype, "done", {
  get(this: Transaction) {
    return this.finished;
  },
  configurable: true,
});

const notifyKeys = new Set(["tx"]);
for (const name of ["notify", "notifyAsync"] as const) {
  replace(
    Database,
    name,
    (notify) =>
      function (this: Database, channel: string, payload: unknown, options?: { tx?: Transaction | null }) {
        const { tx } = checked(options, notifyKeys, "options of notify");
        if (tx === undefined || tx === null) return notify.call(this, channel, payload);
        return name === "notify" ? this.notifyTx(tx, channel, payload) : tx.notifyAsync(channel, payload);
      },
  );
}

// --- Waiting. ---

replace(
  Queue,
  "claimWaker",
  (claimWaker) =>
    function (this: Queue, options?: { pollMs?: number }) {
      const waker = claimWaker.call(this, withoutPoll(options));
      queues.set(waker, this);
      return waker;
    },
);

/** Of which queue a waker is: it claims for itself what is there now. */
const queues = new WeakMap<ClaimWaker<Any>, Queue<Any>>();
replace(
  ClaimWaker,
  "tryNext",
  () =>
    function (this: ClaimWaker, worker: string) {
      return this.closed ? null : (queues.get(this)?.claimOne(worker) ?? null);
    },
);

replace(
  Stream,
  "subscribe",
  (subscribe) =>
    function (this: Stream, consumer?: string | null, options?: { idlePollS?: number | null; pollMs?: number }) {
      const { idlePollS, ...rest } = withoutPoll(options) ?? {};
      fallbackMs(idlePollS, "idlePollS", 15); // the library's subscriptions have one of their own
      return subscribe.call(this, consumer, options && rest);
    },
);
replace(
  Database,
  "listen",
  (listen) =>
    function (this: Database, channel: string, options?: { pollMs?: number }) {
      return listen.call(this, channel, withoutPoll(options));
    },
);

// --- What was published, and when. ---

replace(
  Listener,
  "look",
  (look) =>
    function (this: Listener) {
      return stamped(look.call(this));
    },
);
replace(
  Subscription,
  "look",
  (look) =>
    async function (this: Subscription) {
      return stamped(await look.call(this));
    },
);
replace(
  Stream,
  "readSince",
  (readSince) =>
    function (this: Stream, ...args: unknown[]) {
      return readSince.apply(this, args).map(stamped);
    },
);
replace(
  Stream,
  "readSinceAsync",
  (readSince) =>
    async function (this: Stream, ...args: unknown[]) {
      return (await readSince.apply(this, args)).map(stamped);
    },
);

// --- Schedules. ---

const runKeys = new Set(["owner", "signal", "logger"]);
replace(
  Scheduler,
  "run",
  (run) =>
    async function (this: Scheduler, options: Any, ...rest: unknown[]) {
      if (typeof options !== "object" || options === null) return run.call(this, options, ...rest);
      const { owner, signal, logger } = checked(options, runKeys, "options of run") as Any;
      return run.call(this, owner, signal, { logger });
    },
);
