package dev.honker.kotlin

import dev.honker.ClaimLostException
import dev.honker.EnqueueResult
import dev.honker.JobAction
import dev.honker.JobState
import dev.honker.JsonCodec
import kotlinx.coroutines.CancellationException
import kotlinx.coroutines.CompletableDeferred
import kotlinx.coroutines.cancel
import kotlinx.coroutines.coroutineScope
import kotlinx.coroutines.currentCoroutineContext
import kotlinx.coroutines.delay
import kotlinx.coroutines.launch
import kotlinx.coroutines.runBlocking
import kotlinx.coroutines.withTimeout
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertNull
import org.junit.jupiter.api.Assertions.assertThrows
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.Timeout
import org.junit.jupiter.api.io.TempDir
import java.nio.file.Path
import java.time.Duration
import java.util.Optional
import java.util.concurrent.CopyOnWriteArrayList

/** Steps whose work suspends, and the short forms for operators. */
@Timeout(120)
class StepsTest {
    @TempDir
    lateinit var directory: Path

    private fun open() = honker(directory.resolve("app.db").toString())

    @Test
    fun aStepIsDoneOnceByAHandlerThatIsRetried() =
        runBlocking {
            open().use { db ->
                val done = CopyOnWriteArrayList<String>()
                val number = JsonCodec.of<Int>({ it.toString() }, { it.toInt() })
                val finished = CompletableDeferred<Int>()
                db.queue("q").enqueueJson("1")
                db
                    .queue("q")
                    .suspendingWorker("w", workerOptions { retryDelay(Duration.ZERO) }) { job ->
                        val text =
                            job.suspendingStep("text") {
                                delay(1)
                                done += "text"
                                null
                            }
                        assertEquals("null", text)
                        check(job.attempts() > 1) { "after the first" }
                        val n =
                            job.suspendingStep("number", number) {
                                done += "number"
                                17
                            }
                        check(job.attempts() > 2) { "after the second" }
                        finished.complete(n)
                    }.use {
                        assertEquals(17, withTimeout(60_000) { finished.await() })
                        it.throwIfFailed()
                    }
                assertEquals(listOf("text", "number"), done)
            }
        }

    /** It has run: another attempt would run it again, so that there is none. */
    @Test
    fun aStepWhoseValueHasNoTextIsNotRunAgain() =
        runBlocking {
            open().use { db ->
                val refuses = JsonCodec.of<Int>({ error("no JSON") }, { it.toInt() })
                val done = CopyOnWriteArrayList<String>()
                listOf("codec", "half").forEach { db.queue("q").enqueueJson(it) }
                db
                    .queue("q")
                    .suspendingWorker("w", workerOptions { retryDelay(Duration.ZERO) }) { job ->
                        if (job.payloadJson() == "codec") job.suspendingStep("s", refuses) { done.add("codec").let { 1 } }
                        job.suspendingStep("s") { "\ud83d".also { done += "half" } }
                    }.use {
                        withTimeout(60_000) { while (db.jobs().list { state(JobState.DEAD) }.count() < 2) delay(10) }
                        it.throwIfFailed()
                    }
                assertEquals(listOf("codec", "half"), done.sorted())
                for (dead in db.jobs().list { state(JobState.DEAD) }) {
                    assertTrue(dead.lastError()!!.startsWith("the step s has run, and is not saved: "), dead.lastError())
                }
            }
        }

    /** Cancelled at the end of its work, which has happened: it is saved nevertheless. */
    @Test
    fun whatWasDoneIsSavedThoughTheCoroutineIsCancelled() =
        runBlocking {
            open().use { db ->
                db.queue("q").enqueueJson("1")
                val job = db.queue("q").claimOne("w").orElseThrow()
                coroutineScope {
                    launch {
                        job.suspendingStep("s") {
                            currentCoroutineContext().cancel(CancellationException("now"))
                            "1"
                        }
                    }
                }
                assertEquals(Optional.of("1"), job.getStep("s"))
                job.release()
                assertThrows(ClaimLostException::class.java) { runBlocking { job.suspendingStep("t") { "1" } } }
                Unit
            }
        }

    @Test
    fun anOperator() {
        open().use { db ->
            val q = db.queue("q")
            q.configure { concurrency(4).maxAttempts(1) }
            assertEquals(4, q.settings().concurrency())
            q.configure { concurrency(null) }
            assertNull(q.settings().concurrency())
            repeat(3) { q.enqueueJson("$it", enqueueOptions { uniqueKey("k$it") }) }
            q.claimBatch("w", 2).forEach { it.fail("timeout") }
            val text = JsonCodec.of<String>({ "\"$it\"" }, { it })
            assertEquals(EnqueueResult.Outcome.EXISTS, q.enqueueWith("2", text, enqueueOptions { uniqueKey("k2") }).outcome())
            assertEquals(
                listOf(1L),
                db
                    .jobs()
                    .list { state(JobState.DEAD).oldestFirst().pageSize(1) }
                    .take(1)
                    .map { it.id }
                    .toList(),
            )
            assertEquals(2, db.jobs().apply(JobAction.RETRY) { error("timeout") }.changed())
            val batch = db.newBatch(batchOptions { keep(Duration.ofHours(1)) }) { enqueue("q", "4") }
            assertEquals(1, batch.get().orElseThrow().pending())
            assertThrows(IllegalStateException::class.java) {
                db.inTransaction { tx -> db.newBatch(tx = tx) { error("no ${enqueue("q", "5")}") } }
            }
            assertEquals(4, db.inTransaction { tx -> tx.query("SELECT max(id) AS id FROM _honker_live")[0].getLong("id") })
        }
    }
}
