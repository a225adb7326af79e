// Compiled, and never run: what the types promise under `strict`. Each @ts-expect-error is a mistake that they find.
import { type Database, HonkerError, type Job, open, type Queue, Tasks } from "../dist/index.js";

interface Email {
  to: string;
}

export async function types(db: Database): Promise<void> {
  open("app.db", { maxReaders: 4, watcherBackend: "polling" }).close();
  open("app.db", 4, "polling", 5).close();
  // @ts-expect-error no such option
  open("app.db", { readers: 4 });

  const emails: Queue<Email> = db.queue<Email>("emails");
  const id: number = emails.enqueue({ to: "alice" }, { delay: 5, uniqueKey: "k", onConflict: "replace" });
  const later: Promise<number> = emails.enqueueAsync({ to: "bob" });
  // @ts-expect-error the payload is of another type
  emails.enqueue({ from: "alice" });
  // @ts-expect-error no such conflict
  emails.enqueue({ to: "alice" }, { onConflict: "explode" });

  const job: Job<Email> | null = emails.claimOne("w");
  // @ts-expect-error there may be none
  job.ack();
  const to: string | undefined = job?.payload.to;
  const step: { n: number } | undefined = await job?.step("one", async () => ({ n: 1 }));
  for await (const one of emails.claim("w", { idlePollS: null, signal: AbortSignal.timeout(1) })) {
    const acked: boolean = await one.ackAsync();
    console.log(acked, one.payload.to);
  }
  const rows: { a: number }[] = db.query<{ a: number }>("SELECT 1 AS a");
  const result: string = db.withTransaction((tx) => String(tx.execute("DELETE FROM t")));
  {
    await using listener = db.listen<Email>("channel");
    const next = await listener.next();
    if (!next.done) console.log(next.value.payload.to);
  }
  try {
    db.close();
  } catch (error) {
    if (error instanceof HonkerError && error.code === "HONKER_BUSY") console.log(error.transient);
    // @ts-expect-error no such code
    if (error instanceof HonkerError && error.code === "BUSY") console.log(error);
  }
  const tasks = new Tasks({
    sendEmail: async (job, to: string, copies?: number) => console.log(job.id, to, copies),
  });
  db.queue("emails").enqueue(tasks.payload("sendEmail", "alice", 2));
  // @ts-expect-error an argument of another type
  tasks.payload("sendEmail", 1);
  // @ts-expect-error no such task
  tasks.payload("sendMail", "alice");
  await db.worker("emails", tasks.handler).run();
  console.log(id, later, to, step, rows, result);
}
