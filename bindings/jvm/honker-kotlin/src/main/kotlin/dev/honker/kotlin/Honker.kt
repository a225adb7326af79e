package dev.honker.kotlin

import dev.honker.AppliedJobs
import dev.honker.Batch
import dev.honker.BatchOptions
import dev.honker.Database
import dev.honker.EnqueueOptions
import dev.honker.EnqueueResult
import dev.honker.Handler
import dev.honker.Honker
import dev.honker.Job
import dev.honker.JobAction
import dev.honker.JobFilter
import dev.honker.JobInfo
import dev.honker.Jobs
import dev.honker.JsonCodec
import dev.honker.OpenOptions
import dev.honker.Queue
import dev.honker.QueueUpdate
import dev.honker.Runner
import dev.honker.Transaction
import dev.honker.WorkerBuilder
import dev.honker.WorkerOptions

/** Opens a database, to be closed, as [Honker.open] does. */
public fun honker(
    path: String,
    options: OpenOptions = openOptions {},
): Database = Honker.open(path, options)

/** Opens a database with options: `honker("app.db") { maxReaders(4) }`. */
public fun honker(
    path: String,
    options: OpenOptions.Builder.() -> Unit,
): Database = Honker.open(path, openOptions(options))

/** A worker that opens its database itself, as [Honker.worker] does: `honkerWorker("app.db") { concurrency(8) }`. */
public fun honkerWorker(
    path: String,
    options: WorkerOptions.Builder.() -> Unit = {},
): WorkerBuilder = Honker.worker(path, workerOptions(options))

/** Adds a job whose payload is JSON already; its id. */
public fun Queue.enqueueJson(
    json: String,
    options: EnqueueOptions? = null,
): Long = enqueue(json, options)

/** Adds a job whose payload the codec makes of a value; its id. */
public fun <T> Queue.enqueue(
    value: T,
    codec: JsonCodec<T>,
    options: EnqueueOptions? = null,
): Long = typed(codec).enqueue(value, options)

/** As [enqueue], and tells whether the job was added: another one may have its unique key. */
public fun <T> Queue.enqueueWith(
    value: T,
    codec: JsonCodec<T>,
    options: EnqueueOptions? = null,
): EnqueueResult = typed(codec).enqueueWith(value, options)

/** The payload as a value, as [Job.payload]. */
public fun <T> Job.decode(codec: JsonCodec<T>): T = payload(codec)

/** Has threads of their own handle jobs, as [Queue.worker] does: `queue.worker("w", workerOptions {}) { … }`. */
public fun Queue.worker(
    workerId: String,
    options: WorkerOptions,
    handle: (Job) -> Unit,
): Runner = worker(workerId, Handler { handle(it) }, options)

/** Changes what is set for this queue, as [Queue.configure] does: `queue.configure { concurrency(4) }`. */
public fun Queue.configure(change: QueueUpdate.() -> Unit): Unit = configure(QueueUpdate().apply(change))

/** The jobs that a filter finds, as [Jobs.list] has them, read as they are asked for: `db.jobs().list { queue("emails") }`. */
public fun Jobs.list(filter: JobFilter.Builder.() -> Unit): Sequence<JobInfo> = Sequence { list(jobFilter(filter)).iterator() }

/** Does something to all jobs that a filter finds, as [Jobs.apply] does: `db.jobs().apply(JobAction.RETRY) { error("timeout") }`. */
public fun Jobs.apply(
    action: JobAction,
    filter: JobFilter.Builder.() -> Unit,
): AppliedJobs = apply(jobFilter(filter), action)

/** Runs a function in a transaction, as [Database.transaction] does: `db.inTransaction { tx -> … }`. */
public fun <T> Database.inTransaction(work: (Transaction) -> T): T = transaction<T, RuntimeException> { work(it) }

/**
 * Puts jobs into a batch, which is sealed when the block returns, as [Database.batch] does:
 * `db.newBatch(batchOptions { onFinished(report) }) { enqueue("emails", json) }`.
 */
public fun Database.newBatch(
    options: BatchOptions = batchOptions {},
    tx: Transaction? = null,
    work: Batch.() -> Unit,
): Batch = batch<RuntimeException>(tx, options) { it.work() }
