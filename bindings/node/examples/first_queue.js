// A job is enqueued, claimed and acknowledged.
const { open } = require('@russellthehippo/honker-node');
const db = open('app.db');
const q = db.queue('greetings');
q.enqueue({ name: 'world' });
const job = q.claimOne('worker-1');
console.log(`hello, ${job.payload.name}!`);
job.ack();
