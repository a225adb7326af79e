package examples

import dev.honker.CronSchedule
import dev.honker.Database
import dev.honker.EnqueueOptions.OnConflict
import dev.honker.Job
import dev.honker.JobAction
import dev.honker.JobSpec
import dev.honker.JobState
import dev.honker.QueueSettings.Retry
import dev.honker.ScheduleOptions.Overlap
import dev.honker.kotlin.apply
import dev.honker.kotlin.batchOptions
import dev.honker.kotlin.configure
import dev.honker.kotlin.enqueueJson
import dev.honker.kotlin.enqueueOptions
import dev.honker.kotlin.honker
import dev.honker.kotlin.inTransaction
import dev.honker.kotlin.launchQueues
import dev.honker.kotlin.list
import dev.honker.kotlin.newBatch
import dev.honker.kotlin.scheduleOptions
import dev.honker.kotlin.suspendingStep
import dev.honker.kotlin.workerOptions
import kotlinx.coroutines.CompletableDeferred
import kotlinx.coroutines.awaitCancellation
import kotlinx.coroutines.delay
import kotlinx.coroutines.runBlocking
import java.time.Duration
import java.util.concurrent.atomic.AtomicBoolean

// What a queue can do beside keeping jobs. One of its imports fails once, which is logged.

private val asked = AtomicBoolean()
private val sent = CompletableDeferred<Unit>()
private val reported = CompletableDeferred<Unit>()
private val rendering = CompletableDeferred<Unit>()
private val stopped = CompletableDeferred<Unit>()

/** Not now: this attempt does not count. */
private fun sendDigest(job: Job) {
    if (!asked.getAndSet(true)) {
        job.snooze(Duration.ZERO)
        return
    }
    println("digest ${job.payloadJson()} for ${job.metadata()["tenant"]}, attempt ${job.attempts()}")
    sent.complete(Unit)
}

private suspend fun download(page: String): String {
    delay(1)
    println("download page $page")
    return "\"page-$page.csv\""
}

private suspend fun importPage(job: Job) {
    val file = job.suspendingStep("download") { download(job.payloadJson()) } // once, whatever is retried
    check(job.payloadJson() != "2" || job.attempts() > 1) { "the disk is full" }
    job.database().inTransaction { tx -> // exactly once
        job.step(tx, "import") { tx.execute("INSERT INTO pages (file) VALUES (?)", listOf(file)).let { null } }
    }
}

private fun report(job: Job) {
    val batch = job.database().batch(job.metadata().getValue("batch_id").toLong())
    println("${batch.get().orElseThrow().done()} pages are in")
    reported.complete(Unit)
}

/** Its coroutine is cancelled when the job is. */
private suspend fun render(job: Job) {
    rendering.complete(Unit)
    try {
        awaitCancellation()
    } finally {
        println("rendering ended: ${job.cancelled().orElseThrow()}")
        stopped.complete(Unit)
    }
}

/** Unique jobs, and what travels with them. */
private fun remind(db: Database) {
    val digests = db.queue("digests")
    digests.pause() // in every process: what is enqueued waits
    val once =
        enqueueOptions {
            uniqueKey("digest-7").onConflict(OnConflict.REPLACE) // the last one counts
            metadata(mapOf("tenant" to "acme")).maxRun(Duration.ofMinutes(2))
        }
    for (version in 1..2) println(digests.enqueueWith("$version", once).outcome())
    digests.resume()
}

/** Limits that all processes keep together, and what is kept. */
private fun limit(db: Database) {
    db.queue("imports").configure {
        concurrency(4).concurrencyPerKey(1).rate(100, Duration.ofMinutes(1))
        retry(Retry(Duration.ZERO, 2.0, Duration.ofMinutes(1), 0.1)).keepDone(Duration.ofHours(1))
    }
}

/** A job after the last of many. */
private fun importPages(db: Database) {
    val after = batchOptions { onSuccess(JobSpec("reports", "null", null)) }
    db.newBatch(after) { for (page in 1..2) enqueue("imports", "$page") }
}

/** A boundary is skipped while the last one's job is live. */
private fun schedule(db: Database) {
    val minutely = CronSchedule.every(Duration.ofMinutes(1))
    db.scheduler().add("sync", "syncs", minutely, "null", scheduleOptions { overlap(Overlap.SKIP) })
    val first = db.scheduler().soonestEpochSecond().orElseThrow()
    println(db.scheduler().tickedEpochSecond(first + 60).map { it.outcome() })
}

/** Lists, bulk actions and numbers. */
private fun operate(db: Database) {
    for (job in db.jobs().list { queue("imports").state(JobState.DONE).oldestFirst() }) println("done: ${job.payloadJson()}")
    val depth = db.metrics().first { it.queue() == "syncs" }.depth()
    println("${depth.due()} due")
    println("${db.jobs().apply(JobAction.CANCEL) { queue("syncs") }.changed()} cancelled")
}

fun main() {
    honker("app.db").use { db ->
        db.inTransaction { tx -> tx.execute("CREATE TABLE pages (file TEXT)") }
        limit(db)
        db
            .worker(workerOptions { concurrency(1) })
            .launchQueues {
                handle("digests") { job -> sendDigest(job) }
                handle("imports") { job -> importPage(job) }
                handle("reports") { job -> report(job) }
                handle("renders") { job -> render(job) }
            }.use {
                runBlocking {
                    remind(db)
                    sent.await()
                    importPages(db)
                    reported.await()
                    val id = db.queue("renders").enqueueJson("null")
                    rendering.await()
                    db.queue("renders").cancel(id) // from any process
                    stopped.await()
                }
            }
        schedule(db)
        operate(db)
    }
}
