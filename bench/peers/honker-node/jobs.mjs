// honker for Node or for Bun, with its worker: `open` is the package's.
import * as peer from "../lib/node/peer.mjs";

export async function main(open) {
  const db = open(peer.URL, { durability: peer.SYNCED ? "full" : "normal" });
  const queue = db.queue("bench");

  function enqueueMany(jobs, options) {
    db.enqueueMany(jobs.map((payload) => ({ queue: "bench", payload, ...options })));
  }

  const producer = {
    enqueue: (job) => queue.enqueue(job),
    enqueueMany: (jobs) => enqueueMany(jobs),
    enqueueLater: (jobs) => enqueueMany(jobs, { delay: peer.DAY_MS / 1000 }),
    transact([kind, n], commit) {
      const tx = db.transaction();
      tx.execute("INSERT INTO orders (n) VALUES (?)", [n]);
      queue.enqueue([kind, n], { tx });
      if (commit) tx.commit();
      else tx.rollback();
    },
  };

  function append(n) {
    db.withTransaction((tx) => tx.execute("INSERT INTO appended (n) VALUES (?)", [n]));
  }

  await peer.main(
    () => db.worker("bench", (job) => peer.handle(job.payload, append), { concurrency: peer.CONCURRENCY }).run(),
    () => producer,
  );
}
