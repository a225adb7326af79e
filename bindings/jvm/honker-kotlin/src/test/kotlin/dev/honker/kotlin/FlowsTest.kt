package dev.honker.kotlin

import dev.honker.Database
import dev.honker.JsonCodec
import dev.honker.RetryableException
import kotlinx.coroutines.CancellationException
import kotlinx.coroutines.CompletableDeferred
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.async
import kotlinx.coroutines.cancelAndJoin
import kotlinx.coroutines.delay
import kotlinx.coroutines.flow.first
import kotlinx.coroutines.flow.take
import kotlinx.coroutines.flow.toList
import kotlinx.coroutines.joinAll
import kotlinx.coroutines.launch
import kotlinx.coroutines.runBlocking
import kotlinx.coroutines.withTimeout
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertFalse
import org.junit.jupiter.api.Assertions.assertNull
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.Timeout
import org.junit.jupiter.api.io.TempDir
import java.nio.file.Path
import java.time.Duration
import java.util.concurrent.ConcurrentHashMap
import java.util.concurrent.atomic.AtomicInteger

@Timeout(120)
class FlowsTest {
    @TempDir
    lateinit var directory: Path

    private fun open(): Database = honker(directory.resolve("app.db").toString()) { maxReaders(4) }

    private suspend fun eventually(condition: () -> Boolean) = withTimeout(60_000) { while (!condition()) delay(5) }

    private fun claimed(db: Database): Long =
        db.query("SELECT count(*) AS n FROM _honker_live WHERE state = 'processing'").single().getLong("n")

    /** A slow collector: there is never more claimed than what it has in hand. */
    @Test
    fun jobsWaitForTheCollector() =
        runBlocking {
            open().use { db ->
                val q = db.queue("q")
                repeat(20) { q.enqueueJson("$it") }
                val seen = mutableListOf<String>()
                q.asFlow("w").take(20).collect { job ->
                    delay(10)
                    assertEquals(1, claimed(db))
                    seen += job.payloadJson()
                    assertTrue(job.ack())
                }
                assertEquals((0..19).map { "$it" }, seen)
            }
        }

    /** Cancelled at any moment: each job was handled, or is claimable again, and none was lost. */
    @Test
    fun cancellationDropsNoJob() =
        runBlocking(Dispatchers.Default) {
            open().use { db ->
                val q = db.queue("q", queueOptions { maxAttempts(1) })
                val total = 300
                val handled = ConcurrentHashMap.newKeySet<Long>()
                repeat(total) { q.enqueueJson("$it") }
                var round = 0L
                while (handled.size < total) {
                    val before = handled.size
                    val worker =
                        launch {
                            q.asFlow("w").collect { job ->
                                assertTrue(job.ack())
                                assertTrue(handled.add(job.id()))
                            }
                        }
                    delay(round++ % 7)
                    // However slow the machine is: some rounds get somewhere.
                    if (round % 7 == 0L) eventually { handled.size > before }
                    worker.cancelAndJoin()
                    assertEquals(0, claimed(db))
                }
                assertTrue(q.claimOne("w").isEmpty)
            }
        }

    /** Cancelled in the middle of its work: the job goes back, with its only attempt. */
    @Test
    fun theJobInHandGoesBack() =
        runBlocking(Dispatchers.Default) {
            open().use { db ->
                val q = db.queue("q", queueOptions { maxAttempts(1) })
                q.enqueueJson("1")
                val begun = CompletableDeferred<Unit>()
                val worker =
                    launch {
                        q.asFlow("w").collect {
                            begun.complete(Unit)
                            delay(60_000)
                        }
                    }
                begun.await()
                worker.cancelAndJoin()
                assertEquals(1, q.claimOne("w").orElseThrow().attempts())
            }
        }

    /** A flow that ends, and a collector that keeps what it was given. */
    @Test
    fun theFirstJobIsKept() =
        runBlocking {
            open().use { db ->
                val q = db.queue("q")
                q.enqueueJson("1")
                assertTrue(q.asFlow("w").first().ack())
            }
        }

    /** Others keep the file locked for longer than the busy timeout. */
    @Test
    fun aLockedFileEndsNoFlow() =
        runBlocking(Dispatchers.Default) {
            honker(directory.resolve("app.db").toString()) { busyTimeout(Duration.ofMillis(20)) }.use { db ->
                open().use { other ->
                    val q = db.queue("q")
                    val worker =
                        other.begin().use { tx ->
                            other.queue("q").enqueue(tx, "1")
                            val worker = async { q.asFlow("w").first().payloadJson() }
                            delay(500)
                            tx.commit()
                            worker
                        }
                    assertEquals("1", withTimeout(60_000) { worker.await() })
                }
            }
        }

    private fun waiting() = Thread.getAllStackTraces().keys.count { it.name == "honker" }

    @Test
    fun aHundredFlowsWaitWithoutThreads() =
        runBlocking(Dispatchers.Default) {
            open().use { db ->
                val heard = AtomicInteger()
                val flows =
                    List(100) {
                        val listener = db.listen("c")
                        launch { listener.asFlow().take(1).collect { heard.incrementAndGet() } }
                    }
                eventually { waiting() == 1 }
                db.notify("c", "1")
                flows.joinAll()
                assertEquals(1, waiting())
                assertEquals(100, heard.get())
            }
        }

    @Test
    fun aListenerEndsWhenNothingComes() =
        runBlocking {
            open().use { db ->
                val flow = db.listen("c").asFlow(Duration.ofMillis(200))
                db.notify("c", "1")
                db.notify("c", "2")
                assertEquals(listOf("1", "2"), flow.toList().map { it.payloadJson })
            }
        }

    /** An event in whose middle the collector ends comes again, and those before it do not. */
    @Test
    fun eventsAreFinishedByAskingForTheNext() =
        runBlocking {
            open().use { db ->
                val stream = db.stream("s")
                repeat(5) { stream.publish("$it") }
                val me = subscribeOptions { consumer("me") }
                try {
                    stream.asFlow(me).collect { if (it.payloadJson == "3") throw CancellationException("no") }
                } catch (_: CancellationException) {
                }
                assertEquals(3, stream.getOffset("me"))
                assertEquals(
                    listOf("3", "4"),
                    stream
                        .asFlow(me)
                        .take(2)
                        .toList()
                        .map { it.payloadJson },
                )
            }
        }

    @Test
    fun suspendingWorkers() =
        runBlocking {
            open().use { db ->
                val q = db.queue("q")
                val calls = AtomicInteger()
                val options = workerOptions { concurrency(2).retryDelay(Duration.ZERO) }
                val worker =
                    q.suspendingWorker("w", options) { job ->
                        delay(1)
                        if (calls.incrementAndGet() == 1) throw RetryableException("not yet", Duration.ZERO)
                        if (job.payloadJson() == "bad" && job.attempts() == 1L) error("no")
                    }
                worker.use {
                    q.enqueueJson("good")
                    q.enqueueJson("bad")
                    eventually { q.statsJson().let { "\"pending\":0" in it && "\"claimed\":0" in it } && calls.get() >= 3 }
                    assertNull(it.failure().orElse(null))
                }
                assertFalse(q.deadJson(-1).contains("id"))
            }
        }

    @Test
    fun tasksAndCodecs() =
        runBlocking {
            open().use { db ->
                val number =
                    object : JsonCodec<Int> {
                        override fun encode(value: Int) = value.toString()

                        override fun decode(json: String) = json.toInt()
                    }
                val registry = db.taskRegistry()
                val double = registry.registerTypedJson("double", "tasks", number, number) { it * 2 }
                val hello = registry.registerJson("hello", "tasks") { it.kwargsJson }
                db.runTasks(registry).use {
                    val one = async { double.enqueueJson("[21]").await(number, Duration.ofSeconds(10)) }
                    assertEquals("""{"a":1}""", hello.enqueueJson(kwargs = """{"a":1}""").await())
                    assertEquals(42, one.await())
                }
                val q = db.queue("q")
                q.enqueue(7, number)
                assertEquals(7, q.claimOne("w").orElseThrow().decode(number))
            }
        }
}
