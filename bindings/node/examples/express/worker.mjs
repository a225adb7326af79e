// Makes the receipts. Any number of these may run; each ends on SIGTERM, when what it does is done.
import { openDatabase } from "./database.mjs";

const db = openDatabase();
const worker = db.worker(
  "receipts",
  async (job) => {
    const { order } = job.payload;
    const [{ total }] = await db.queryAsync("SELECT total FROM orders WHERE id = ?", [order]);
    await db.saveResultAsync(job.id, `order ${order}: ${(total / 100).toFixed(2)}\n`, 86_400);
  },
  { concurrency: 4 },
);
await worker.run();
await db.closeAsync();
