package dev.honker.kotlin

import dev.honker.Job
import dev.honker.JobCompletion
import dev.honker.JobLauncher
import dev.honker.Queue
import dev.honker.RetryableException
import dev.honker.Runner
import dev.honker.WorkerOptions
import kotlinx.coroutines.CancellationException
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.SupervisorJob
import kotlinx.coroutines.asContextElement
import kotlinx.coroutines.coroutineScope
import kotlinx.coroutines.launch

/**
 * Handles jobs in coroutines until this is closed, or its database is. A file that others keep locked does not end it, and
 * nothing that a handler throws does; what does, [failure] tells and the logger `dev.honker` reports.
 */
public class SuspendingWorker internal constructor(
    private val runner: Runner,
) : AutoCloseable {
    /** What has ended it, other than that it or the database was closed; null as long as all is well. */
    public val failure: Throwable? get() = runner.failure().orElse(null)

    /**
     * Takes no job any more, and waits for the handlers, except from within one. They have as long as
     * [WorkerOptions.shutdownTimeout] says, and are cancelled then. The job of one that ends nevertheless is settled; the job of
     * one that was cancelled is given back, and that attempt does not count.
     */
    override fun close(): Unit = runner.close()
}

/**
 * Has coroutines handle jobs, [WorkerOptions.concurrency] at a time. A job whose handler returns is done; one whose handler
 * throws is tried again, after the delay of a [RetryableException] or as the options say. A timeout or cancellation of the
 * handler's own making is such a failure as well. A handler whose job was cancelled, was lost, or took longer than it may is
 * cancelled. Otherwise as [Queue.worker] with a handler.
 */
public fun Queue.suspendingWorker(
    workerId: String,
    options: WorkerOptions = workerOptions {},
    handle: suspend (Job) -> Unit,
): SuspendingWorker = SuspendingWorker(launchWorker(workerId, CoroutineLauncher(handle), options))

private class CoroutineLauncher(
    private val handle: suspend (Job) -> Unit,
) : JobLauncher {
    private val scope = CoroutineScope(SupervisorJob() + Dispatchers.Default)
    private val running = ThreadLocal<JobCompletion?>()

    override fun launch(
        job: Job,
        completion: JobCompletion,
    ): Runnable {
        var outcome: Result<Unit>? = null
        // Wherever the coroutine goes, its thread knows whose it is.
        val coroutine =
            scope.launch(running.asContextElement(completion)) {
                try {
                    // In a scope of its own: a handler that cancels its coroutine cancels nothing but itself. What comes of the
                    // handler is taken here, as a scope that was cancelled says so even if its block has ended well.
                    coroutineScope { outcome = runCatching { handle(job) } }
                } catch (e: Throwable) {
                    if (e !is CancellationException) outcome = Result.failure(e)
                }
            }
        coroutine.invokeOnCompletion { cause ->
            // A coroutine that was cancelled before it began has no outcome of its own.
            val ended = outcome
            val failure = if (ended == null) cause else ended.exceptionOrNull()
            if (failure == null) completion.done() else completion.failed(failure)
        }
        return Runnable { coroutine.cancel() }
    }

    override fun current(): JobCompletion? = running.get()
}
