package dev.honker.kotlin

import dev.honker.HonkerBusyException
import dev.honker.HonkerClosedException
import dev.honker.HonkerException
import dev.honker.Job
import dev.honker.Queue
import dev.honker.RetryableException
import dev.honker.WorkerOptions
import kotlinx.coroutines.CancellationException
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.NonCancellable
import kotlinx.coroutines.SupervisorJob
import kotlinx.coroutines.asContextElement
import kotlinx.coroutines.coroutineScope
import kotlinx.coroutines.currentCoroutineContext
import kotlinx.coroutines.delay
import kotlinx.coroutines.ensureActive
import kotlinx.coroutines.launch
import kotlinx.coroutines.runBlocking
import kotlinx.coroutines.withContext
import java.util.concurrent.atomic.AtomicReference

/**
 * Coroutines that handle jobs until this is closed, or their database is. A file that others keep locked does not end them, and
 * nothing that a handler throws does; what does, [failure] tells and the logger `dev.honker` reports.
 */
public class SuspendingWorker internal constructor() : AutoCloseable {
    private val job = SupervisorJob()
    private val error = AtomicReference<Throwable?>()
    private val running = ThreadLocal<SuspendingWorker?>()

    /** Where the coroutines run; wherever they go, their thread knows whose they are. */
    internal val scope = CoroutineScope(job + Dispatchers.Default + running.asContextElement(this))

    internal fun failed(
        workerId: String,
        e: Throwable,
    ) {
        error.compareAndSet(null, e)
        System.getLogger("dev.honker").log(System.Logger.Level.ERROR, "the coroutine of $workerId has ended", e)
    }

    /** What has ended a coroutine, other than that the database was closed; null as long as all is well. */
    public val failure: Throwable? get() = error.get()

    /**
     * Cancels the coroutines and waits for them, except from within a handler of its own, which it would wait for. A handler that
     * ends nevertheless has its job settled; the job of one that was cancelled goes to the next worker when its time is over.
     */
    override fun close() {
        job.cancel()
        if (running.get() !== this) runBlocking { job.join() }
    }
}

/**
 * Has coroutines handle jobs, [WorkerOptions.concurrency] of them, each claiming as [workerId], "-" and its index. A job whose
 * handler returns is done; one whose handler throws is tried again, after the delay of a [RetryableException] or of the
 * options. A timeout or cancellation of the handler's own making is such a failure as well.
 */
public fun Queue.suspendingWorker(
    workerId: String,
    options: WorkerOptions = workerOptions {},
    handle: suspend (Job) -> Unit,
): SuspendingWorker {
    val worker = SuspendingWorker()
    repeat(options.concurrency()) { index ->
        val id = "$workerId-$index"
        worker.scope.launch {
            try {
                insist { reset ->
                    asFlow(id, options).collect {
                        reset()
                        run(it, options, handle)
                    }
                }
            } catch (e: CancellationException) {
                throw e
            } catch (_: HonkerClosedException) {
                // it ends with its database
            } catch (e: Throwable) {
                worker.failed(id, e)
            }
        }
    }
    return worker
}

/** Handles one job, and settles it once, whatever the handler has done, unless it was cancelled with its worker. */
private suspend fun run(
    job: Job,
    options: WorkerOptions,
    handle: suspend (Job) -> Unit,
) {
    var outcome = Result.success(Unit)
    try {
        // In a scope of its own: a handler that cancels its coroutine cancels nothing but itself. What comes of the handler is
        // taken here, as a scope that was cancelled says so even if its block has ended well.
        coroutineScope { outcome = runCatching { handle(job) } }
    } catch (e: Throwable) {
        if (e !is CancellationException) outcome = Result.failure(e)
    }
    val failure = outcome.exceptionOrNull()
    if (failure is CancellationException) currentCoroutineContext().ensureActive()
    withContext(NonCancellable + Dispatchers.IO) {
        insist {
            when (failure) {
                null -> job.ack()
                is RetryableException -> job.retry(failure.delay(), text(failure))
                else -> job.retry(options.retryDelay(), text(failure))
            }
        }
    }
}

/** Its message; what it is if it has none, or none that can be had. */
private fun text(e: Throwable): String =
    runCatching { e.message ?: if (e is RetryableException) "" else e.toString() }.getOrElse { e.javaClass.name }

/**
 * Calls, and calls again for as long as others keep the file locked, or [dev.honker.Database.interrupt] ends the call: 20 ms
 * later, then twice as late each time, a second at most, and from the beginning after `reset`.
 */
private suspend fun <T> insist(call: suspend (reset: () -> Unit) -> T): T {
    var pause = FIRST_PAUSE_MS
    while (true) {
        try {
            return call { pause = FIRST_PAUSE_MS }
        } catch (e: HonkerException) {
            if (e !is HonkerBusyException && e.name() != "HONKER_INTERRUPTED") throw e
            delay(pause)
            pause = (pause * 2).coerceAtMost(LAST_PAUSE_MS)
        }
    }
}

private const val FIRST_PAUSE_MS = 20L
private const val LAST_PAUSE_MS = 1000L
