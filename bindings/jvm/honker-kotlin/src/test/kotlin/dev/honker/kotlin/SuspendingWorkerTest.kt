package dev.honker.kotlin

import dev.honker.Database
import dev.honker.Honker
import dev.honker.HonkerBusyException
import dev.honker.HonkerInvalidOptionException
import dev.honker.Queue
import dev.honker.Runner
import kotlinx.coroutines.CancellationException
import kotlinx.coroutines.CompletableDeferred
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.NonCancellable
import kotlinx.coroutines.cancel
import kotlinx.coroutines.currentCoroutineContext
import kotlinx.coroutines.delay
import kotlinx.coroutines.runBlocking
import kotlinx.coroutines.withContext
import kotlinx.coroutines.withTimeout
import kotlinx.serialization.Serializable
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertNull
import org.junit.jupiter.api.Assertions.assertThrows
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.Timeout
import org.junit.jupiter.api.io.TempDir
import java.nio.file.Path
import java.time.Duration
import java.util.concurrent.ConcurrentHashMap
import java.util.concurrent.CopyOnWriteArrayList
import java.util.concurrent.CountDownLatch
import java.util.concurrent.atomic.AtomicReference
import kotlin.concurrent.thread

/** What must not end a worker, and what does. */
@Timeout(120)
class SuspendingWorkerTest {
    @TempDir
    lateinit var directory: Path

    private val atOnce = workerOptions { retryDelay(Duration.ZERO) }

    private fun open(busyTimeout: Duration = Duration.ofSeconds(5)): Database =
        honker(directory.resolve("app.db").toString()) { busyTimeout(busyTimeout) }

    private suspend fun eventually(condition: () -> Boolean) = withTimeout(60_000) { while (!condition()) delay(5) }

    private fun isEmpty(queue: Queue) = queue.statsJson().let { "\"pending\":0" in it && "\"claimed\":0" in it }

    private class Unspeakable : RuntimeException() {
        override val message: String get() = error("no message")
    }

    /** Each way to fail is taken once, at the first attempt; every job is done at its second. */
    @Test
    fun everyFailureOfAHandlerIsItsJobs() =
        runBlocking {
            open().use { db ->
                val q = db.queue("q")
                val ways =
                    mapOf<String, suspend () -> Unit>(
                        "timeout" to { withTimeout(20) { delay(10_000) } },
                        "cancellation" to { throw CancellationException("its own") },
                        "cancels itself" to {
                            currentCoroutineContext().cancel()
                            delay(10_000)
                        },
                        "no message" to { throw Unspeakable() },
                        "error" to { throw AssertionError("no") },
                        "interrupts" to {
                            withContext(Dispatchers.IO) { Thread.currentThread().interrupt() }
                            Thread.currentThread().interrupt()
                            error("interrupted")
                        },
                    )
                val attempts = ConcurrentHashMap<String, Long>()
                val worker =
                    q.suspendingWorker("w", atOnce) { job ->
                        attempts[job.payloadJson()] = job.attempts()
                        if (job.attempts() == 1L) ways.getValue(job.payloadJson())()
                    }
                worker.use {
                    ways.keys.forEach { q.enqueueJson(it) }
                    eventually { attempts.size == ways.size && attempts.values.all { it == 2L } && isEmpty(q) }
                    assertNull(it.failure().orElse(null))
                }
                assertEquals("[]", q.deadJson(-1))
            }
        }

    @Test
    fun anInterruptStatusThatIsLeftSet() =
        runBlocking {
            open().use { db ->
                val q = db.queue("q")
                val seen = CopyOnWriteArrayList<String>()
                q
                    .suspendingWorker("w", atOnce) { job ->
                        seen += job.payloadJson()
                        withContext(Dispatchers.IO) { Thread.currentThread().interrupt() }
                    }.use { worker ->
                        repeat(20) { q.enqueueJson("$it") }
                        eventually { isEmpty(q) }
                        assertNull(worker.failure().orElse(null))
                    }
                assertEquals(20, seen.size)
            }
        }

    /** The claim and the ack are refused for longer than the busy timeout. */
    @Test
    fun aLockedFileEndsNobody() =
        runBlocking(Dispatchers.Default) {
            open(Duration.ofMillis(20)).use { db ->
                open().use { other ->
                    val q = db.queue("q")
                    val begun = CompletableDeferred<Unit>()
                    val isLocked = CompletableDeferred<Unit>()
                    val seen = CopyOnWriteArrayList<String>()
                    val worker =
                        q.suspendingWorker("w", atOnce) { job ->
                            seen += job.payloadJson()
                            begun.complete(Unit)
                            isLocked.await()
                        }
                    worker.use {
                        other.queue("q").enqueueJson("1")
                        begun.await()
                        withContext(Dispatchers.IO) {
                            other.transactionVoid<RuntimeException> { tx ->
                                isLocked.complete(Unit)
                                assertThrows(HonkerBusyException::class.java) { q.enqueueJson("refused") }
                                Thread.sleep(300) // the ack is refused meanwhile
                                other.queue("q").enqueue(tx, "2")
                            }
                        }
                        eventually { isEmpty(q) }
                        withContext(Dispatchers.IO) {
                            other.transactionVoid<RuntimeException> {
                                db.interrupt() // it looks again, and its claim is refused
                                Thread.sleep(300)
                            }
                        }
                        other.queue("q").enqueueJson("3")
                        eventually { isEmpty(q) }
                        assertNull(it.failure().orElse(null))
                    }
                    assertEquals(listOf("1", "2", "3"), seen)
                }
            }
        }

    @Test
    fun aHandlerMayCloseItsWorker() =
        runBlocking(Dispatchers.Default) {
            open().use { db ->
                val q = db.queue("q")
                val worker = AtomicReference<Runner>()
                val closed = CompletableDeferred<Unit>()
                val isMade = CompletableDeferred<Unit>()
                worker.set(
                    q.suspendingWorker("w", atOnce) {
                        isMade.await()
                        withContext(Dispatchers.IO) {
                            worker.get().close()
                            closed.complete(Unit)
                        }
                    },
                )
                isMade.complete(Unit)
                q.enqueueJson("1")
                withTimeout(60_000) { closed.join() }
                worker.get().close() // which waits
                assertNull(worker.get().failure().orElse(null))
                q.enqueueJson("2")
                delay(100)
                assertTrue(q.claimOne("look").isPresent)
            }
        }

    /** It was not to be cancelled, and has finished: its job is done, and must not be done again. */
    @Test
    fun aHandlerThatFinishesWhileItsWorkerIsClosed() =
        runBlocking(Dispatchers.Default) {
            open().use { db ->
                val q = db.queue("q")
                repeat(2) { q.enqueueJson("$it") }
                val begun = CountDownLatch(2)
                val closing = CompletableDeferred<Unit>()
                val worker =
                    q.suspendingWorker("w", workerOptions { concurrency(2) }) { job ->
                        withContext(NonCancellable) {
                            begun.countDown()
                            closing.await()
                        }
                        if (job.payloadJson() == "1") error("no")
                    }
                withContext(Dispatchers.IO) { begun.await() }
                val closer = thread { worker.close() }
                eventually { closer.state == Thread.State.WAITING } // for the handlers
                closing.complete(Unit)
                withContext(Dispatchers.IO) { closer.join() }
                assertNull(worker.failure().orElse(null))
                val stats = q.statsJson()
                assertTrue("\"claimed\":0" in stats, stats)
                assertTrue("\"delayed\":1" in stats, stats) // which failed, in its own time
            }
        }

    @Serializable
    data class Email(
        val to: String,
        val urgent: Boolean = false,
    )

    /** By the path of its file, with values that kotlinx makes; what is none is among the dead. */
    @Test
    fun serializablePayloads() =
        runBlocking {
            open().use { db ->
                val codec = jsonCodec<Email>()
                val seen = CopyOnWriteArrayList<Email>()
                val path = directory.resolve("app.db").toString()
                Honker.worker(path, atOnce).launch("q", codec) { email, _ -> seen += email }.use { worker ->
                    val q = db.queue("q")
                    q.enqueue(Email("alice"), codec)
                    q.enqueueJson("""{"version":2}""")
                    eventually { seen.isNotEmpty() && "\"dead\":1" in q.statsJson() }
                    assertNull(worker.failure().orElse(null))
                }
                assertEquals(listOf(Email("alice")), seen)
                assertTrue("the payload cannot be decoded" in db.queue("q").deadJson(-1))
            }
        }

    /** One worker, and a coroutine of its own for each queue; what is around them sees all, outermost first. */
    @Test
    fun severalQueues() =
        runBlocking<Unit> {
            open().use { db ->
                val codec = jsonCodec<Email>()
                val seen = CopyOnWriteArrayList<String>()
                db.queue("emails").enqueue(Email("alice"), codec)
                db.queue("plain").enqueueJson("1")
                val worker =
                    db.worker(atOnce).launchQueues {
                        around { job, next ->
                            seen += "outer ${job.queue()}"
                            next()
                            seen += "after ${job.queue()}"
                        }
                        around { _, next ->
                            delay(1)
                            seen += "inner"
                            next()
                        }
                        handle("emails", codec, weight = 0) { email, _ -> seen += email.to }
                        handle("plain", weight = 0, maxInHand = 1) { job -> seen += job.payloadJson() }
                    }
                worker.use {
                    eventually { isEmpty(db.queue("emails")) && isEmpty(db.queue("plain")) }
                    assertNull(it.failure().orElse(null))
                }
                assertEquals(
                    listOf("outer emails", "inner", "alice", "after emails", "outer plain", "inner", "1", "after plain"),
                    seen,
                )
                assertThrows(HonkerInvalidOptionException::class.java) { db.worker(atOnce).launchQueues { } }
                val twice = db.worker(atOnce)
                assertThrows(HonkerInvalidOptionException::class.java) {
                    twice.launchQueues {
                        handle("q", weight = 1) { }
                        handle("q", weight = 1) { }
                    }
                }
            }
        }

    /** The coroutine is cancelled, and can read why. */
    @Test
    fun theReasonOfACancellation() =
        runBlocking {
            open().use { db ->
                val q = db.queue("q")
                val begun = CompletableDeferred<Unit>()
                val reasons = CopyOnWriteArrayList<String>()
                q
                    .suspendingWorker("w", atOnce) { job ->
                        begun.complete(Unit)
                        try {
                            delay(60_000)
                        } catch (e: CancellationException) {
                            reasons += "${job.cancelled().get()} ${e.message}"
                            throw e
                        }
                    }.use { worker ->
                        val id = q.enqueueJson("1")
                        begun.await()
                        assertTrue(q.cancel(id))
                        eventually { reasons.isNotEmpty() }
                        assertNull(worker.failure().orElse(null))
                    }
                assertTrue(reasons.single().startsWith("GONE job"), reasons.toString())
                assertTrue(reasons.single().endsWith("GONE"), reasons.toString())
            }
        }
}
