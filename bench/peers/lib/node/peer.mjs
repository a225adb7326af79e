// What the peers in JavaScript share: the lines they speak with the driver, and what their jobs do. See bench/peers/README.md.
import { openSync, writeSync } from "node:fs";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";

const env = process.env;
export const DIR = env.PEER_DIR;
export const URL = env.PEER_URL;
export const SYNCED = env.PEER_DURABILITY === "synced";
export const SHORTEST = env.PEER_RECOVERY === "shortest";
export const CONCURRENCY = Number(env.PEER_CONCURRENCY ?? 1);
export const DAY_MS = 86_400_000;

let events;
const nanoseconds = () => BigInt(Math.round((performance.timeOrigin + performance.now()) * 1000)) * 1000n;

// The job: it notes that it was run; "append" adds a row, in the middle of some work; "hold" does not end.
export async function handle([kind, n], append) {
  if (kind === "append") {
    await sleep(2);
    await append(n);
    await sleep(2);
  }
  events ??= openSync(env.PEER_EVENTS, "a");
  writeSync(events, `${kind} ${n} ${nanoseconds()} ${process.pid}\n`);
  if (kind === "hold") await sleep(3_600_000);
}

// Does what the driver asks of a producer, which has enqueue(job), and may have enqueueMany(jobs), enqueueLater(jobs) and
// transact(job, commit).
export async function produce(producer) {
  answer({ ready: true });
  for await (const line of createInterface({ input: process.stdin })) {
    try {
      answer(await act(producer, JSON.parse(line)));
    } catch (error) {
      answer({ error: String(error?.stack ?? error) });
    }
  }
  process.exit();
}

function answer(value) {
  console.log(JSON.stringify(value));
}

async function act(producer, { kind, first, count, batch = 1, cap_s = 3600, way = "plain", commit = true }) {
  const method = { plain: batch === 1 ? "enqueue" : "enqueueMany", later: "enqueueLater", transact: "transact" }[way];
  if (!producer[method]) return { unsupported: method };
  const at = Number(nanoseconds());
  const started = performance.now();
  let done = 0;
  while (done < count && performance.now() - started < cap_s * 1000) {
    if (method === "enqueue" || method === "transact") {
      await producer[method]([kind, first + done], commit);
      done++;
    } else {
      const size = Math.min(batch, count - done);
      await producer[method](Array.from({ length: size }, (_, i) => [kind, first + done + i]));
      done += size;
    }
  }
  return { at, count: done, seconds: (performance.now() - started) / 1000 };
}

export async function main(work, open) {
  if (process.argv[2] === "work") await work();
  else await produce(await open());
}

export const forever = () => new Promise(() => setInterval(() => {}, 2 ** 31 - 1));
