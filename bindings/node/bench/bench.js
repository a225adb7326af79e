// What the package costs beside the C ABI: reads lines from standard input, each a workload and a number, and answers each with
// a line of JSON. Each has a queue of its own.
const path = require("node:path");
const readline = require("node:readline");
// The program is also that of the Bun package, with Bun.
const { open } = require(process.versions.bun ? "../../bun/dist/bun/src/index.js" : "../dist/index.js");

const db = open(path.join(process.argv[2], "bench.db"));

function timed(run) {
  const before = process.hrtime.bigint();
  run();
  return { seconds: Number(process.hrtime.bigint() - before) / 1e9 };
}

const fill = (queue, count) =>
  db.enqueueMany(Array.from({ length: count }, (_, n) => ({ queue: queue.name, payload: { n } })));

const workloads = {
  enqueue: (queue, count) =>
    timed(() => {
      for (let n = 0; n < count; n++) queue.enqueue({ n });
    }),
  claim_ack: (queue, count) => {
    fill(queue, count);
    return timed(() => {
      for (let n = 0; n < count; n++) if (!queue.claimOne("w").ack()) throw new Error("lost");
    });
  },
  batch: (queue, count) => {
    fill(queue, count);
    return timed(() => {
      for (;;) {
        const jobs = queue.claimBatch("w", 100);
        if (jobs.length === 0) return;
        queue.ackBatch(
          jobs.map((job) => job.id),
          "w",
        );
      }
    });
  },
  wake: async (queue, count) => {
    const jobs = queue.claim("w");
    const times = [];
    for (let n = 0; n < count; n++) {
      const next = jobs.next();
      await new Promise((resolve) => setTimeout(resolve, 2));
      const before = process.hrtime.bigint();
      queue.enqueue({ n });
      const { value: job } = await next;
      times.push(Number(process.hrtime.bigint() - before) / 1e3);
      await job.ackAsync();
    }
    jobs.close();
    return { p50_us: times.sort((a, b) => a - b)[Math.floor(count / 2)] };
  },
};

(async () => {
  let i = 0;
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const [workload, count] = line.split(" ");
    if (!Object.hasOwn(workloads, workload)) throw new Error(`unknown workload: ${workload}`);
    console.log(JSON.stringify(await workloads[workload](db.queue(`bench-${i++}`), Number(count))));
  }
  db.close();
})();
