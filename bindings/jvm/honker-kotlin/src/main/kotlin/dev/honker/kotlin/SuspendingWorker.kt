package dev.honker.kotlin

import dev.honker.Job
import dev.honker.JobCompletion
import dev.honker.JobLauncher
import dev.honker.JsonCodec
import dev.honker.Queue
import dev.honker.RetryableException
import dev.honker.Runner
import dev.honker.WorkerBuilder
import dev.honker.WorkerOptions
import dev.honker.WorkerQueue
import kotlinx.coroutines.CancellationException
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.SupervisorJob
import kotlinx.coroutines.asContextElement
import kotlinx.coroutines.coroutineScope
import kotlinx.coroutines.launch

/**
 * Has coroutines handle jobs, [WorkerOptions.concurrency] at a time, on [Dispatchers.Default]: what blocks a thread belongs into
 * `withContext(Dispatchers.IO)`. A job whose handler returns is done; one whose handler
 * throws is tried again, after the delay of a [RetryableException] or as the options say. A timeout or cancellation of the
 * handler's own making is such a failure as well. A handler whose job was cancelled, was lost, or took longer than it may is
 * cancelled, and [Job.cancelled] says why. Otherwise as [Queue.worker] with a handler.
 *
 * [Runner.close] waits for the handlers, except from within one. They have as long as the options say, and are cancelled then.
 * The job of one that ends nevertheless is settled; the job of one that was cancelled is given back with its attempt.
 */
public fun Queue.suspendingWorker(
    workerId: String,
    options: WorkerOptions = workerOptions {},
    handle: suspend (Job) -> Unit,
): Runner = launchWorker(workerId, CoroutineLauncher(handle), options)

/**
 * Starts this worker with coroutines for handlers, as [suspendingWorker] does, on these queues:
 * `Honker.worker("app.db", workerOptions { concurrency(8) }).launch("emails") { job -> … }.run()`.
 */
public fun WorkerBuilder.launch(
    vararg queues: String,
    handle: suspend (Job) -> Unit,
): Runner = launch(queues.map { WorkerQueue.of(it, 1) }, CoroutineLauncher(handle))

/** As the other form, with payloads that are values. One that cannot be decoded is among the dead, with the reason. */
public fun <T> WorkerBuilder.launch(
    queue: String,
    codec: JsonCodec<T>,
    handle: suspend (T, Job) -> Unit,
): Runner = launch(queue) { job -> handle(job.decode(codec), job) }

/**
 * As [launch], with a handler for each queue:
 * `launchQueues { handle("urgent", weight = 3) { job -> … }; handle("emails", jsonCodec<Email>()) { email, job -> … } }`.
 */
public fun WorkerBuilder.launchQueues(queues: SuspendingHandlers.() -> Unit): Runner {
    val all = SuspendingHandlers().apply(queues)
    return launch(all.handlers.map { it.first }, CoroutineLauncher(all.handler()))
}

/** The queues of a worker, and the coroutines that handle their jobs. One thread uses it, before the worker starts. */
public class SuspendingHandlers internal constructor() {
    internal val handlers = ArrayList<Pair<WorkerQueue, suspend (Job) -> Unit>>()
    private val interceptors = ArrayList<suspend (Job, suspend () -> Unit) -> Unit>()

    /** Takes jobs from a queue; [weight] and [maxInHand] are those of [WorkerQueue]. */
    public fun handle(
        queue: String,
        weight: Int = 1,
        maxInHand: Long = -1,
        handle: suspend (Job) -> Unit,
    ) {
        handlers += WorkerQueue(queue, weight, maxInHand) to handle
    }

    /** As the other form, with payloads that are values. One that cannot be decoded is among the dead, with the reason. */
    public fun <T> handle(
        queue: String,
        codec: JsonCodec<T>,
        weight: Int = 1,
        maxInHand: Long = -1,
        handle: suspend (T, Job) -> Unit,
    ): Unit = handle(queue, weight, maxInHand) { job -> handle(job.decode(codec), job) }

    /** Adds what is called around the handler of each job, and calls it; the first one added is the outermost. */
    public fun around(interceptor: suspend (job: Job, next: suspend () -> Unit) -> Unit) {
        interceptors += interceptor
    }

    internal fun handler(): suspend (Job) -> Unit {
        val byName = handlers.associate { it.first.name to it.second }
        return interceptors.foldRight({ job -> byName.getValue(job.queue())(job) }) { interceptor, inner ->
            { job -> interceptor(job) { inner(job) } }
        }
    }
}

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
        return Runnable { coroutine.cancel(CancellationException("$job: ${job.cancelled().orElse(null)}")) }
    }

    override fun current(): JobCompletion? = running.get()
}
