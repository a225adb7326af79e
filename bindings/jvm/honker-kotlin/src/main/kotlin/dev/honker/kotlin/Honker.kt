package dev.honker.kotlin

import dev.honker.Database
import dev.honker.EnqueueOptions
import dev.honker.Handler
import dev.honker.Honker
import dev.honker.Job
import dev.honker.JsonCodec
import dev.honker.OpenOptions
import dev.honker.Queue
import dev.honker.Runner
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

/** The payload as a value, as [Job.payload]. */
public fun <T> Job.decode(codec: JsonCodec<T>): T = payload(codec)

/** Has threads of their own handle jobs, as [Queue.worker] does: `queue.worker("w", workerOptions {}) { … }`. */
public fun Queue.worker(
    workerId: String,
    options: WorkerOptions,
    handle: (Job) -> Unit,
): Runner = worker(workerId, Handler { handle(it) }, options)
