package dev.honker.kotlin

import dev.honker.Database
import dev.honker.JsonCodec
import dev.honker.TaskCall
import dev.honker.TaskHandle
import dev.honker.TaskOptions
import dev.honker.TaskRegistry
import dev.honker.TaskResult
import kotlinx.coroutines.future.await
import java.time.Duration

/** An empty registry of tasks whose jobs are in this database. */
public fun Database.taskRegistry(): TaskRegistry = TaskRegistry(this)

/** Registers a task that takes and returns JSON text; null is JSON's null. */
public fun TaskRegistry.registerJson(
    name: String,
    queue: String,
    options: TaskOptions = taskOptions {},
    run: (TaskCall) -> String?,
): TaskHandle = register(name, queue, { run(it) }, options)

/** Registers a task whose argument and result are values. It is called with an array of one. */
public fun <A, R> TaskRegistry.registerTypedJson(
    name: String,
    queue: String,
    argument: JsonCodec<A>,
    result: JsonCodec<R>,
    options: TaskOptions = taskOptions {},
    run: (A) -> R,
): TaskHandle = registerTyped(name, queue, argument, result, { run(it) }, options)

/** Enqueues a call; where its result will be. */
public fun TaskHandle.enqueueJson(
    args: String = "[]",
    kwargs: String = "{}",
): TaskResult = enqueue(args, kwargs)

/**
 * The result, as JSON text, when there is one. No thread waits for it.
 *
 * @param timeout how long to wait, null for without end; [dev.honker.HonkerTimeoutException] if that is over
 */
public suspend fun TaskResult.await(timeout: Duration? = null): String = waitForAsync(timeout).await()

/** The result as a value, when there is one: see the other form. */
public suspend fun <T> TaskResult.await(
    codec: JsonCodec<T>,
    timeout: Duration? = null,
): T = codec.decode(await(timeout))
