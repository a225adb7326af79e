// A web server that takes orders. What takes long is done by worker.mjs, in a process of its own:
//
//   npm install express @russellthehippo/honker-node
//   node server.mjs & node worker.mjs &
//   curl -d '{"id": 42, "total": 9900}' -H 'Content-Type: application/json' http://127.0.0.1:3000/orders
//   curl http://127.0.0.1:3000/orders/42/receipt

import { TimeoutError } from "@russellthehippo/honker-node";
import express from "express";
import { openDatabase } from "./database.mjs";

const db = openDatabase();
const receipts = db.queue("receipts", { maxAttempts: 10 });
const app = express();
app.use(express.json());

app.post("/orders", async (request, response) => {
  const { id, total } = request.body ?? {};
  if (!Number.isSafeInteger(id) || !Number.isSafeInteger(total))
    return response.status(400).json({ error: "id and total" });
  // The order and its job, both or neither. The forms that end in Async leave the event loop to other requests.
  const job = await db.withTransactionAsync(async (tx) => {
    const added = await tx.executeAsync("INSERT INTO orders (id, total) VALUES (?, ?) ON CONFLICT DO NOTHING", [id, total]);
    if (added === 0) return null;
    const enqueued = await receipts.enqueueAsync({ order: id }, { tx });
    await tx.executeAsync("UPDATE orders SET job = ? WHERE id = ?", [enqueued, id]);
    return enqueued;
  });
  if (job === null) return response.status(409).json({ error: `there is an order ${id}` });
  response.status(202).json({ id, job });
});

// Waits until the worker has made it, for some seconds; no query is made meanwhile.
app.get("/orders/:id/receipt", async (request, response) => {
  const [order] = await db.queryAsync("SELECT job FROM orders WHERE id = ?", [Number(request.params.id)]);
  if (order === undefined) return response.status(404).json({ error: "there is no such order" });
  try {
    response.type("text").send(await db.waitResult(order.job, { timeoutS: 20 }));
  } catch (error) {
    if (!(error instanceof TimeoutError)) throw error;
    response.status(503).json({ error: "it is being made; ask again" });
  }
});

const server = app.listen(Number(process.env.PORT ?? 3000), "127.0.0.1", () => {
  console.log(`http://127.0.0.1:${server.address().port}`);
});
for (const signal of ["SIGTERM", "SIGINT"]) {
  process.once(signal, () => server.close(() => db.closeAsync()));
}
