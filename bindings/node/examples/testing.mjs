// A test of what enqueues and what handles.
import assert from "node:assert/strict";
import { TestDatabase } from "@russellthehippo/honker-node/testing";

const signUp = (db, user) => db.queue("reminders").enqueue({ user }, { delay: 86_400 });

const test = new TestDatabase();
signUp(test.db, "alice");
test.assertEnqueued("reminders", { user: "alice" });
test.advance(86_400);
assert.equal(await test.runDue((job) => console.log(`remind ${job.payload.user}`)), 1);
test.close();
