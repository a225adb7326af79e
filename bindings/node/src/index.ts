import { Database } from "./database.js";
import { setOpener } from "./worker.js";

setOpener((path, options) => () => Database.openAsync(path, options));

export type { HonkerErrorCode } from "./abi.js";
export { Batch, type BatchOptions, type BatchState } from "./batch.js";
export { ClaimIterator, ClaimWaker } from "./claim.js";
export { Database, type Histogram, type Metrics, type OpenOptions, open, openAsync, type QueueInfo } from "./database.js";
export type { EnqueueCall, Enqueued, EnqueueHook, EnqueueOptions, JobOptions, JobSpec } from "./enqueue.js";
export { HonkerError, LoadError, TimeoutError, UnfinishedError } from "./errors.js";
export { Feed, UpdateEvents } from "./feed.js";
export { Job, type SettleOptions } from "./job.js";
export { type Applied, type JobAction, type JobFilter, type JobInfo, type JobPage, type JobState, Jobs } from "./jobs.js";
export { RawText } from "./json.js";
export { Listener, type ListenOptions, type Notification } from "./listen.js";
export { Lock } from "./lock.js";
export { buildInfo, cronNextAfter } from "./native.js";
export { type Delivery, Outbox, type OutboxOptions } from "./outbox.js";
export { Discard, JobLost, type LossReason, Retry, Snooze } from "./outcome.js";
export { ackOn, ackPgSql, enqueueOn, enqueuePgSql, honkerErrorOf, type PgConnection, PgStatement } from "./postgres.js";
export {
  type ClaimOptions,
  type DeadGroup,
  type DeadJob,
  type JobRecord,
  Queue,
  type QueueOptions,
  type QueueSettings,
  type QueueStats,
} from "./queue.js";
export type { WaitResultOptions } from "./result.js";
export {
  type ScheduledFire,
  type ScheduleRecord,
  Scheduler,
  type ScheduleSpec,
  type ScheduleUpdate,
} from "./scheduler.js";
export { schemaSql } from "./schema.js";
export { ackSql, enqueueSql, enqueueWithSql, type SqlJobOptions, type Statement } from "./sql.js";
export { Stream, type StreamEvent, type StreamRetention, type SubscribeOptions, Subscription } from "./stream.js";
export { type TaskArguments, type TaskFunction, type TaskPayload, Tasks } from "./tasks.js";
export { Real, type Row, type SqlValue, Transaction } from "./transaction.js";
export type { Logger } from "./trouble.js";
export {
  type Handler,
  type Middleware,
  type RunOptions,
  Worker,
  WorkerJob,
  type WorkerOptions,
  type WorkerQueue,
  type WorkerQueues,
  work,
} from "./worker.js";
