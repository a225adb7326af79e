package dev.honker.kotlin

import dev.honker.Backoff
import dev.honker.Consumer
import dev.honker.HonkerException
import dev.honker.Job
import dev.honker.Listener
import dev.honker.Notification
import dev.honker.Queue
import dev.honker.Stream
import dev.honker.StreamEvent
import dev.honker.SubscribeOptions
import dev.honker.WorkerOptions
import kotlinx.coroutines.CancellationException
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.NonCancellable
import kotlinx.coroutines.currentCoroutineContext
import kotlinx.coroutines.delay
import kotlinx.coroutines.ensureActive
import kotlinx.coroutines.flow.Flow
import kotlinx.coroutines.flow.FlowCollector
import kotlinx.coroutines.future.await
import kotlinx.coroutines.isActive
import kotlinx.coroutines.withContext
import kotlinx.coroutines.withTimeoutOrNull
import java.time.Duration
import java.util.Optional
import java.util.concurrent.TimeUnit

/**
 * The jobs of this queue, without end, each claimed when the collector is ready for it, and not before: it settles them
 * itself. No thread waits while there is none.
 *
 * Should the coroutine be cancelled, the job in hand is given back at once, and that attempt does not count; a collector that
 * catches all exceptions has to throw a [CancellationException] on. What the collector does not settle otherwise goes to the
 * next worker when its time is over. A file that others keep locked does not end the flow.
 */
public fun Queue.asFlow(
    workerId: String,
    options: WorkerOptions = workerOptions {},
): Flow<Job> =
    ConsumerFlow(
        open = { worker(workerId, options) },
        next = { it.next(Duration.ZERO) },
        giveBack = { it.release() },
    )

/**
 * What this listener hears; the flow ends when none comes for the time of [timeout], null for never. It closes the listener
 * at its end, so it can be collected once.
 */
public fun Listener.asFlow(timeout: Duration? = null): Flow<Notification> =
    ConsumerFlow(open = { this }, next = { it.next(Duration.ZERO) }, timeout = timeout)

/**
 * The events of this stream, without end, each read when the collector is ready for it. An event is finished when the
 * collector asks for the next one; should the collector fail or be cancelled in the middle of one, its consumer sees it again.
 */
public fun Stream.asFlow(options: SubscribeOptions = subscribeOptions {}): Flow<StreamEvent> =
    ConsumerFlow(open = { subscribe(options) }, next = { it.next(Duration.ZERO) })

/**
 * What a consumer takes, given to the collector on the collector's own coroutine.
 *
 * It is no `flow { }`: there, `emit` looks whether the coroutine was cancelled, and would drop what has been taken. Here
 * nothing comes between taking and giving but the question whether to give it back.
 */
private class ConsumerFlow<C : Consumer, T : Any>(
    private val open: () -> C,
    private val next: (C) -> Optional<T>,
    private val giveBack: (T) -> Unit = {},
    private val timeout: Duration? = null,
) : Flow<T> {
    override suspend fun collect(collector: FlowCollector<T>) {
        val consumer = insisting { open() }
        try {
            var since = System.nanoTime()
            while (true) {
                currentCoroutineContext().ensureActive()
                val (ready, item) =
                    insisting {
                        val ready = consumer.ready()
                        ready to next(consumer).orElse(null)
                    }
                if (item != null) {
                    ready.cancel(false)
                    give(item, collector)
                    since = System.nanoTime()
                } else if (timeout == null) {
                    ready.await()
                } else {
                    val left = timeout.toNanos() - (System.nanoTime() - since)
                    if (left <= 0) return
                    withTimeoutOrNull(TimeUnit.NANOSECONDS.toMillis(left) + 1) { ready.await() }
                }
            }
        } finally {
            undisturbed { consumer.close() }
        }
    }

    /**
     * Cancelled before the collector has it, or while it has, the item goes back. Whether the coroutine is cancelled decides, and
     * not the exception: `first()` ends a flow with one as well, and keeps what it was given.
     */
    private suspend fun give(
        item: T,
        collector: FlowCollector<T>,
    ) {
        try {
            // One question, whose answer decides: asked twice, what comes in between would drop the item.
            if (currentCoroutineContext().isActive) collector.emit(item) else undisturbed { giveBack(item) }
        } catch (e: CancellationException) {
            if (!currentCoroutineContext().isActive) undisturbed { giveBack(item) }
            throw e
        }
    }

    /** Calls again, at growing distances, while the file is locked by others, or full: that does not end a flow. */
    private suspend fun <R> insisting(call: () -> R): R {
        val backoff = Backoff("a flow")
        while (true) {
            try {
                return undisturbed(call).also { backoff.reset() }
            } catch (e: HonkerException) {
                if (!e.isTransient) throw e
                delay(backoff.nextMillis(e))
            }
        }
    }

    /**
     * Calls the library on a thread that may block. The order of the two contexts matters: a change of dispatcher looks for
     * cancellation when it comes back, and would drop the result, unless what it comes back to cannot be cancelled. An interrupt
     * status that the thread has was left by somebody else's code on it.
     */
    private suspend fun <R> undisturbed(call: () -> R): R =
        withContext(NonCancellable) {
            withContext(Dispatchers.IO) {
                Thread.interrupted()
                call()
            }
        }
}
