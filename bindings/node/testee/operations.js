// The operations of conformance/PROTOCOL.md, each through the package's public API.
const { EventEmitter, once } = require("node:events");
const { DatabaseSync } = require("node:sqlite");
const { honker, name, version } = require("./package.js");
const { Otherwise, noAttempts, row, stored, toCamel, toSnake } = require("./request.js");

const features = [
  ..."queue tx wait stream notify sched result lock rate outbox journal watcher interrupt foreign enqueue_many".split(" "),
  ..."settle_tx by_id next_at release stats dead updates cron result_tx rate_sweep prune_keep tick_at text nesting".split(
    " ",
  ),
  ..."metadata settings batch step bulk unique schedule_options unknown_keys claims_by_id metrics counters handlers".split(
    " ",
  ),
  "fault.abi",
];

/** Something that runs until it is closed. */
class Runner {
  #stop = new AbortController();
  #done;

  constructor(run) {
    this.#done = run(this.#stop.signal).catch((error) => console.error(error));
  }

  close() {
    this.#stop.abort();
    return this.#done;
  }
}

/** A worker whose handler does what a script says, and what has happened to it. */
class ScriptedWorker extends Runner {
  #seen = [];
  #told = new EventEmitter();

  constructor(db, queue, workerId, script) {
    const worker = db.worker(queue, (job) => this.#handle(job), { workerId });
    super((signal) => worker.run({ signal, signals: false, stopTimeoutS: 0 }));
    this.script = [...script];
  }

  async #handle(job) {
    this.#say(job, { what: "called" });
    const what = this.script.length > 1 ? this.script.shift() : this.script[0];
    if (what === "ok") return;
    if (what !== "wait") throw new Error(what);
    if (!job.signal.aborted) await once(job.signal, "abort");
    const { reason } = job.signal.reason;
    this.#say(job, { what: "told", reason });
    throw job.signal.reason;
  }

  #say({ id, attempts, workerId }, what) {
    const at_us = Math.round((performance.timeOrigin + performance.now()) * 1000);
    this.#seen.push({ ...what, id, attempts, worker: workerId, at_us });
    this.#told.emit("seen");
  }

  async next(ms) {
    if (this.#seen.length === 0) {
      const signal = ms < 0 ? undefined : AbortSignal.timeout(Number(ms));
      await once(this.#told, "seen", { signal }).catch(() => {});
    }
    return this.#seen.shift();
  }
}

/** An outbox whose deliveries go as the script says. */
class ScriptedOutbox {
  calls = [];

  constructor(db, name, script, options) {
    this.outbox = db.outbox(
      name,
      (_, job) => {
        this.calls.push(stored(job.payloadText));
        const what = script[Math.min(this.calls.length, script.length) - 1];
        if (what !== "ok") throw what;
      },
      options,
    );
  }
}

function withoutAttempts(options, make) {
  const { maxAttempts, ...rest } = options;
  if (maxAttempts === undefined || maxAttempts >= 1) return make(options);
  const made = make(rest);
  noAttempts.set(made, maxAttempts);
  return made;
}

/** Whose queue it is. */
const databases = new WeakMap();

async function next(r) {
  const { on } = r;
  const wasClosed = on.closed;
  const ms = r.keys.timeout_ms < 0 ? undefined : Number(r.keys.timeout_ms);
  const within = (feed) => (ms === undefined ? feed.next().then(({ value }) => value) : feed.nextWithin(ms));
  const got = (value) => {
    if (value !== undefined) return value;
    throw new Otherwise({ outcome: on.closed ? "CLOSED" : "TIMEOUT" });
  };
  // One that is closed is used: the package's own error, if it has one.
  if (wasClosed) throw Object.assign(new honker.HonkerError(-25, "it is closed"));
  if (on instanceof honker.ClaimIterator) {
    const n = r.keys.n ?? 1;
    const jobs = n > 0 ? await on.nextBatch(n, ms) : [];
    if (n > 0 && jobs.length === 0) got(undefined);
    return { jobs: r.jobs(jobs) };
  }
  if (on instanceof honker.Listener) {
    const { id, channel, payloadText } = got(await within(on));
    return { notification: { id, channel, payload: stored(payloadText) } };
  }
  if (on instanceof honker.Subscription) return { event: row(got(await within(on))) };
  if (ms === undefined) await on.next();
  else got(await on.nextWithin(ms));
  return {};
}

const conditions = (filter) => {
  const { limit, ...rest } = toCamel(filter);
  return limit === undefined ? rest : { ...rest, pageSize: limit };
};
const events = (all) => ({ events: all.map(row) });
const parameters = (r) =>
  r.keys.params?.map((one) => {
    if (one === null || typeof one !== "object") return one;
    return "$real" in one ? new honker.Real(one.$real) : Buffer.from(one.$hex, "hex");
  });
const sqlValue = (value) => (Buffer.isBuffer(value) ? { $hex: value.toString("hex") } : value);
const callback = ({ options, ...job }) => {
  const { delay_s, expires_s, batch_id, ...rest } = options ?? {};
  const named = { delay: delay_s, expires: expires_s, batch: batch_id, ...toCamel(rest) };
  const payload = typeof job.payload === "string" ? new honker.RawText(job.payload) : job.payload;
  return { ...job, payload, ...Object.fromEntries(Object.entries(named).filter(([, value]) => value !== undefined)) };
};

exports.operations = {
  hello: () => ({ testee: name, version, pid: process.pid, features }),
  open: (r) =>
    r.keep(() =>
      honker.open(r.keys.path, {
        ...r.options({ busy_timeout_ms: "busyTimeoutMs", watcher: "watcherBackend", poll_ms: "watcherPollIntervalMs" }),
        ...(r.has("journal") ? { journalMode: r.keys.journal.toLowerCase() } : {}),
      }),
    ),
  close: (r) => r.testee.close(r.on),
  interrupt: (r) => r.on.interrupt(),
  "foreign.exec": ({ keys: { path, sql, times = 1 } }) => {
    const db = new DatabaseSync(path);
    try {
      db.exec("PRAGMA busy_timeout = 5000");
      for (let i = 0; i < times; i++) db.exec(sql);
    } finally {
      db.close();
    }
    return { done: times };
  },
  "tx.begin": (r) =>
    r.keep(async () => {
      const tx = await r.call(r.on, "transaction");
      r.lane.transactions.add(tx);
      return tx;
    }),
  // Of one that is over: the package's own error.
  "tx.commit": async (r) => (r.on.finished ? r.on.execute("SELECT 1") : r.on.commitAsync()),
  "tx.rollback": async (r) => (r.on.finished ? r.on.execute("SELECT 1") : r.on.rollbackAsync()),
  "sql.exec": async (r) => ({ changes: await r.on.executeAsync(r.keys.sql, parameters(r)) }),
  "sql.query": async (r) => ({
    // A transaction of Bun's answers one row otherwise.
    rows: (await (r.on.queryAllAsync ?? r.on.queryAsync).call(r.on, r.keys.sql, parameters(r))).map((one) =>
      Object.values(one).map(sqlValue),
    ),
  }),
  "queue.open": (r) =>
    r.keep(() =>
      withoutAttempts(r.options({ visibility_timeout_s: "visibilityTimeoutS", max_attempts: "maxAttempts" }), (options) => {
        const queue = r.on.queue(r.keys.name, options);
        databases.set(queue, r.on);
        return queue;
      }),
    ),
  "queue.enqueue": (r) => r.call(r.on, "tryEnqueue", r.payload(), r.enqueueOptions),
  "queue.enqueue_many": async (r) => ({
    ids: await r.call(
      r.on,
      "enqueueMany",
      r.keys.payloads.map((one) => r.payload(one)),
      r.enqueueOptions,
    ),
  }),
  "queue.claim": async (r) => ({ jobs: r.jobs(await r.call(r.on, "claimBatch", r.keys.worker, r.keys.n)) }),
  "queue.ack": async (r) => r.settled(await r.call(r.on, "ack", r.keys.id, r.keys.worker, r.within)),
  "queue.retry": async (r) =>
    r.settled(await r.call(r.on, "retry", r.keys.id, r.keys.worker, r.keys.delay_s, r.keys.error, r.within)),
  "queue.fail": async (r) => r.settled(await r.call(r.on, "fail", r.keys.id, r.keys.worker, r.keys.error, r.within)),
  "queue.release": async (r) =>
    r.settled(await r.call(r.on, "release", r.keys.id, r.keys.worker, r.keys.delay_s, r.within)),
  "queue.heartbeat": async (r) => r.settled(await r.call(r.on, "heartbeat", r.keys.id, r.keys.worker, r.keys.extend_s)),
  "queue.ack_many": async (r) => ({ acked: await r.call(r.on, "ackBatch", r.keys.ids, r.keys.worker) }),
  "queue.cancel": async (r) => ({ cancelled: await r.call(r.on, "cancel", r.keys.id) }),
  "queue.get": async (r) => ({ job: row(r.found(await r.call(r.on, "getJob", r.keys.id), "EMPTY")) }),
  "queue.next_at": async (r) => ({ at: await r.call(r.on, "nextClaimAt") }),
  "queue.sweep": async (r) => ({ n: await r.call(r.on, "sweepExpired") }),
  "queue.stats": async (r) => ({ stats: await r.call(r.on, "stats") }),
  "queue.configure": (r) => r.call(r.on, "configure", toCamel(r.keys.settings)),
  "queue.settings": async (r) => ({ settings: toSnake(await r.call(r.on, "settings")) }),
  queues: async (r) => ({ queues: (await r.call(r.on, "queues")).map(toSnake) }),
  metrics: async (r) => ({ queues: toSnake((await r.call(r.on, "metrics")).queues) }),
  "dead.list": async (r) => ({ jobs: (await r.call(r.on, "dead", r.keys.limit)).map(row) }),
  "dead.requeue": async (r) => ({ requeued: await r.call(r.on, "requeueDead", r.keys.id) }),
  "dead.purge": async (r) => ({ n: await r.call(r.on, "purgeDead", r.keys.older_than_s) }),
  "dead.groups": async (r) => ({
    groups: (await r.call(r.on, "deadGroups")).map((group) => ({ ...group, newest: row(group.newest) })),
  }),
  "jobs.list": async (r) => {
    const { jobs, cursor } = await r.call(r.on.jobs, "list", conditions(r.keys.filter));
    return { page: { jobs: jobs.map(row), cursor } };
  },
  "jobs.apply": async (r) => ({
    applied: await r.call(r.on.jobs, "apply", conditions(r.keys.filter), r.keys.action, r.within),
  }),
  "batch.create": async (r) => {
    const names = { on_finished: "onFinished", on_success: "onSuccess", keep_s: "keepS" };
    const options = Object.fromEntries(
      Object.entries(r.keys.options).map(([key, value]) => [
        names[key] ?? key,
        key in names && key !== "keep_s" ? callback(value) : value,
      ]),
    );
    return { id: (await r.call(r.on, "createBatch", { ...options, ...r.within })).id };
  },
  "batch.seal": async (r) => ({ sealed: await r.call(r.on.getBatch(r.keys.id), "seal", r.within) }),
  "batch.get": async (r) => ({ batch: toSnake(r.found(await r.call(r.on.getBatch(r.keys.id), "get"), "EMPTY")) }),
  "step.get": async (r) => r.value(await r.call(r.on, "getStep", r.keys.id, r.keys.name, r.within), "EMPTY"),
  "step.save": async (r) => {
    const { id, worker, name, value } = r.keys;
    return r.value(await r.call(r.on, "saveStep", id, worker, name, r.payload(value), r.within), "LOST");
  },
  "worker.run": (r) => {
    const queue = r.on;
    return r.keep(() => new ScriptedWorker(databases.get(queue), queue.name, r.keys.worker, r.keys.handle));
  },
  "handler.next": async (r) => r.found(await r.on.next(r.keys.timeout_ms), "TIMEOUT"),
  "worker.open": (r) => r.keep(() => r.on.claim(r.keys.worker)),
  next,
  wake: () => {
    throw new Otherwise({ unsupported: "wake" });
  },
  "updates.open": (r) => r.keep(() => r.on.updateEvents()),
  "stream.open": (r) => r.keep(() => r.on.stream(r.keys.topic)),
  "stream.publish": async (r) => ({
    offset: await r.call(r.on, "publish", r.payload(), { ...r.options({ key: "key" }), ...r.within }),
  }),
  "stream.configure": (r) => r.call(r.on, "configure", toCamel(r.keys.settings)),
  "stream.trim": async (r) => ({ n: await r.call(r.on, "trim", toCamel(r.keys.settings)) }),
  "stream.read": async (r) => events(await r.call(r.on, "readSince", r.keys.offset, r.keys.limit)),
  "stream.read_consumer": async (r) => events(await r.call(r.on, "readFromConsumer", r.keys.consumer, r.keys.limit)),
  "stream.save": async (r) => ({
    saved: await (r.has("tx")
      ? r.on.saveOffsetTxAsync(r.tx, r.keys.consumer, r.keys.offset)
      : r.call(r.on, "saveOffset", r.keys.consumer, r.keys.offset)),
  }),
  "stream.offset": async (r) => ({ offset: await r.call(r.on, "getOffset", r.keys.consumer) }),
  "stream.subscribe": (r) =>
    r.keep(() =>
      r.on.subscribe(r.keys.consumer, {
        ...r.options({ from_offset: "fromOffset", save_every_n: "saveEveryN" }),
        ...(r.has("save_every_ms") ? { saveEveryS: Number(r.keys.save_every_ms) / 1000 } : {}),
      }),
    ),
  "subscription.ack": (r) => r.on.ack(),
  "subscription.save": (r) => r.on.save(),
  "subscription.offset": (r) => ({ offset: r.on.offset }),
  "notify.send": async (r) => ({
    id: await (r.has("tx")
      ? r.tx.notifyAsync(r.keys.channel, r.payload())
      : r.call(r.on, "notify", r.keys.channel, r.payload())),
  }),
  "notify.prune": async (r) => ({ n: await r.call(r.on, "pruneNotifications", r.keys.older_than_s, r.keys.max_keep) }),
  "notify.configure": (r) => r.call(r.on, "configureNotifications", toCamel(r.keys.settings)),
  "listen.open": (r) => r.keep(() => r.on.listen(r.keys.channel)),
  "sched.add": (r) => {
    const { expires, runAt, maxAttempts, ...job } = r.enqueueOptions;
    const own = r.options({
      name: "name",
      queue: "queue",
      schedule: "schedule",
      expires_s: "expiresS",
      max_attempts: "maxAttempts",
      overlap: "overlap",
    });
    return r.call(r.on.scheduler(), "add", { ...job, ...own, payload: r.payload() });
  },
  "sched.remove": async (r) => ({ changed: (await r.call(r.on.scheduler(), "remove", r.keys.name)) === 1 }),
  "sched.pause": async (r) => ({ changed: await r.call(r.on.scheduler(), "pause", r.keys.name) }),
  "sched.resume": async (r) => ({ changed: await r.call(r.on.scheduler(), "resume", r.keys.name) }),
  "sched.update": async (r) => ({
    changed: await r.call(r.on.scheduler(), "update", r.keys.name, {
      ...r.options({ schedule: "schedule", priority: "priority", expires_s: "expiresS", max_attempts: "maxAttempts" }),
      ...(r.has("payload") ? { payload: r.payload() } : {}),
    }),
  }),
  "sched.list": async (r) => ({ schedules: (await r.call(r.on.scheduler(), "list")).map(row) }),
  "sched.tick": async (r) => ({
    fires: (await r.call(r.on.scheduler(), "tick", r.keys.now)).map(({ status, ...fire }) =>
      toSnake(status === "enqueued" ? fire : { ...fire, status }),
    ),
  }),
  "sched.soonest": async (r) => ({ at: await r.call(r.on.scheduler(), "soonest") }),
  "sched.run": (r) => r.keep(() => new Runner((signal) => r.on.scheduler().run(r.keys.owner, signal))),
  "cron.next_after": (r) => ({ at: honker.cronNextAfter(r.keys.schedule, r.keys.from) }),
  "result.save": (r) => {
    const value = r.payload(r.keys.value);
    const text = value instanceof honker.RawText ? value.text : JSON.stringify(value);
    return r.call(r.on, "saveResult", r.keys.id, text, r.keys.ttl_s, r.within);
  },
  "result.get": async (r) => ({ value: stored(r.found(await r.call(r.on, "getResult", r.keys.id), "EMPTY")) }),
  "result.wait": async (r) => {
    const timeoutS = r.keys.timeout_ms < 0 ? undefined : Number(r.keys.timeout_ms) / 1000;
    try {
      return { value: stored(await r.on.waitResult(r.keys.id, { timeoutS })) };
    } catch (error) {
      throw error instanceof honker.TimeoutError ? new Otherwise({ outcome: "TIMEOUT" }) : error;
    }
  },
  "result.sweep": async (r) => ({ n: await r.call(r.on, "sweepResults") }),
  "lock.acquire": async (r) => {
    const lock = r.found(await r.call(r.on, "tryLock", r.keys.name, r.keys.owner, r.keys.ttl_s), "HELD");
    return r.keep(() => lock);
  },
  "lock.renew": async (r) => r.settled(await r.call(r.on, "heartbeat", r.keys.ttl_s)),
  "lock.release": async (r) => r.settled(await r.call(r.on, "release")),
  "rate.try": async (r) => {
    if (await r.call(r.on, "tryRateLimit", r.keys.name, r.keys.limit, r.keys.per_s)) return {};
    throw new Otherwise({ outcome: "LIMITED" });
  },
  "rate.sweep": async (r) => ({ n: await r.call(r.on, "sweepRateLimits", r.keys.older_than_s) }),
  "outbox.open": (r) =>
    r.keep(() =>
      withoutAttempts(
        r.options({
          visibility_timeout_s: "visibilityTimeoutS",
          max_attempts: "maxAttempts",
          base_backoff_s: "baseBackoffS",
        }),
        (options) => new ScriptedOutbox(r.on, r.keys.name, r.keys.deliver, options),
      ),
    ),
  "outbox.enqueue": async (r) => ({ id: await r.call(r.on.outbox, "enqueue", r.payload(), r.enqueueOptions) }),
  "outbox.run_once": async (r) => ({ handled: await r.on.outbox.runOnce(r.keys.worker) }),
  "outbox.run": (r) => r.keep(() => new Runner((signal) => r.on.outbox.runWorker(r.keys.worker, { signal }))),
  "outbox.calls": (r) => ({ payloads: r.on.calls }),
};
