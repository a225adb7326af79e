package dev.honker.kotlin

import dev.honker.HonkerClosedException
import dev.honker.Job
import dev.honker.Queue
import dev.honker.RetryableException
import dev.honker.WorkerOptions
import kotlinx.coroutines.CancellationException
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.SupervisorJob
import kotlinx.coroutines.cancelAndJoin
import kotlinx.coroutines.launch
import kotlinx.coroutines.runBlocking
import kotlinx.coroutines.withContext
import java.util.concurrent.atomic.AtomicReference

/** Coroutines that handle jobs until this is closed. */
public class SuspendingWorker internal constructor() : AutoCloseable {
    private val job = SupervisorJob()
    private val error = AtomicReference<Throwable?>()
    internal val scope = CoroutineScope(job + Dispatchers.Default)

    internal fun failed(e: Throwable) {
        error.compareAndSet(null, e)
    }

    /** What has ended a coroutine, other than that the database was closed; null as long as all is well. */
    public val failure: Throwable? get() = error.get()

    /** Cancels the coroutines and waits for them. The job in hand goes to the next worker when its time is over. */
    override fun close(): Unit = runBlocking { job.cancelAndJoin() }
}

/**
 * Has coroutines handle jobs, [WorkerOptions.concurrency] of them, each claiming as [workerId], "-" and its index. A job whose
 * handler returns is done; one whose handler throws is tried again, after the delay of a [RetryableException] or of the
 * options.
 */
public fun Queue.suspendingWorker(
    workerId: String,
    options: WorkerOptions = workerOptions {},
    handle: suspend (Job) -> Unit,
): SuspendingWorker {
    val worker = SuspendingWorker()
    repeat(options.concurrency()) { index ->
        worker.scope.launch {
            try {
                asFlow("$workerId-$index", options).collect { settle(it, options, handle) }
            } catch (e: CancellationException) {
                throw e
            } catch (_: HonkerClosedException) {
                // it ends with its database
            } catch (e: Throwable) {
                worker.failed(e)
            }
        }
    }
    return worker
}

private suspend fun settle(
    job: Job,
    options: WorkerOptions,
    handle: suspend (Job) -> Unit,
) {
    val failure =
        try {
            handle(job)
            null
        } catch (e: CancellationException) {
            throw e
        } catch (e: Throwable) {
            e
        }
    withContext(Dispatchers.IO) {
        when (failure) {
            null -> job.ack()
            is RetryableException -> job.retry(failure.delay(), failure.message)
            else -> job.retry(options.retryDelay(), failure.message ?: failure.toString())
        }
    }
}
