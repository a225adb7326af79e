package dev.honker.kotlin

import dev.honker.Consumer
import dev.honker.Job
import dev.honker.Listener
import dev.honker.Notification
import dev.honker.Queue
import dev.honker.Stream
import dev.honker.StreamEvent
import dev.honker.SubscribeOptions
import dev.honker.WorkerOptions
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.NonCancellable
import kotlinx.coroutines.currentCoroutineContext
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
 * A job that was claimed while the collector was cancelled is given back at once, and that attempt does not count. One that
 * the collector has been given, and did not settle, goes to the next worker when its time is over.
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
        val consumer = undisturbed { open() }
        try {
            var since = System.nanoTime()
            while (true) {
                currentCoroutineContext().ensureActive()
                val (ready, item) =
                    undisturbed {
                        val ready = consumer.ready()
                        ready to next(consumer).orElse(null)
                    }
                if (item != null) {
                    ready.cancel(false)
                    // One question, whose answer decides: asked twice, what comes in between would drop the item.
                    if (currentCoroutineContext().isActive) {
                        collector.emit(item)
                    } else {
                        undisturbed { giveBack(item) }
                    }
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
