package examples

import dev.honker.Database
import dev.honker.JobAction
import dev.honker.JobState
import dev.honker.kotlin.apply
import dev.honker.kotlin.asFlow
import dev.honker.kotlin.await
import dev.honker.kotlin.configure
import dev.honker.kotlin.enqueueJson
import dev.honker.kotlin.honker
import dev.honker.kotlin.honkerWorker
import dev.honker.kotlin.jsonCodec
import dev.honker.kotlin.launch
import dev.honker.kotlin.launchQueues
import dev.honker.kotlin.list
import dev.honker.kotlin.registerJson
import dev.honker.kotlin.suspendingStep
import dev.honker.kotlin.taskRegistry
import kotlinx.coroutines.CancellationException
import kotlinx.coroutines.Job
import kotlinx.coroutines.delay
import kotlinx.coroutines.joinAll
import kotlinx.coroutines.launch
import kotlinx.coroutines.runBlocking
import kotlinx.serialization.Serializable
import java.time.Duration
import java.util.concurrent.CountDownLatch

private val seen = CountDownLatch(2)

private fun sendEmail(json: String) = println("sending $json").also { seen.countDown() }

private fun push(json: String) = println("pushing $json").also { seen.countDown() }

/** The first queue. */
private fun first() {
    honker("app.db").use { db ->
        val q = db.queue("greetings")
        q.enqueueJson("""{"name":"world"}""")
        val job = q.claimOne("worker-1").orElseThrow()
        println("claimed ${job.payloadJson()}")
        job.ack()
    }
}

private suspend fun jobs(db: Database) {
    val q = db.queue("emails")
    q.asFlow("worker-1").collect { job ->
        try { sendEmail(job.payloadJson()); job.ack() }
        catch (e: CancellationException) { throw e } // the flow gives the job back
        catch (e: Exception) { job.retry(Duration.ofSeconds(60), e.message) }
    }
}

private suspend fun notifications(db: Database) {
    db.listen("orders").asFlow().collect { n -> println(n.payloadJson) }
}

private suspend fun events(db: Database) {
    db.stream("user-events").asFlow().collect { event -> push(event.payloadJson) }
}

private suspend fun tasks(db: Database) {
    val registry = db.taskRegistry()
    val task = registry.registerJson("answer", "tasks") { "42" }
    db.runTasks(registry).use {
        val result = task.enqueueJson().await(Duration.ofSeconds(10))
        println("the answer is $result")
    }
}

@Serializable
private data class Email(
    val to: String,
)

private fun sendEmail(email: Email) = println("sending to ${email.to}")

/** What the main thread of a process does. */
private fun work() {
    honkerWorker("app.db") { concurrency(8) }.launch("emails", jsonCodec<Email>()) { email, job -> sendEmail(email) }.run()
}

private suspend fun render(json: String) = json.also { delay(1) }

/** What is done once, whatever is retried. */
private fun workInSteps() {
    honkerWorker("app.db")
        .launch("emails") { job ->
            val text = job.suspendingStep("render") { render(job.payloadJson()) }
            sendEmail(text)
        }.run()
}

/** What an operator does. */
private fun operate(db: Database) {
    db.queue("emails").configure {
        concurrency(4)
        rate(100, Duration.ofMinutes(1))
    }
    db.jobs().apply(JobAction.RETRY) { queue("emails").error("timeout") }
    for (dead in db.jobs().list { state(JobState.DEAD) }) println("${dead.id}: ${dead.lastError}")
}

/** The same with several queues. */
private fun workOnTwo() {
    honkerWorker("app.db") { concurrency(8) }
        .launchQueues {
            handle("urgent", weight = 3) { job -> sendEmail(job.payloadJson()) }
            handle("emails", jsonCodec<Email>()) { email, job -> sendEmail(email) }
        }.run()
}

fun main(args: Array<String>) {
    when (args.firstOrNull()) {
        "work" -> return work()
        "two" -> return workOnTwo()
        "steps" -> return workInSteps()
    }
    first()
    honker("app.db").use { db ->
        operate(db)
        runBlocking {
            val flows: List<Job> =
                listOf(launch { jobs(db) }, launch { notifications(db) }, launch { events(db) })
            db.queue("emails").enqueueJson("""{"to":"alice@example.com"}""")
            db.stream("user-events").publish("""{"user":1}""")
            while (seen.count > 0) {
                db.notify("orders", """{"id":1}""")
                delay(50)
            }
            flows.forEach { it.cancel() }
            flows.joinAll()
            tasks(db)
        }
    }
}
