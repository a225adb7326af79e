package dev.honker.kotlin

import dev.honker.Database
import dev.honker.EnqueueSql
import dev.honker.JobSpec
import org.jetbrains.exposed.sql.transactions.TransactionManager
import org.jetbrains.exposed.sql.transactions.transaction
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertThrows
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.Timeout
import org.junit.jupiter.api.condition.EnabledIfEnvironmentVariable
import org.junit.jupiter.api.io.TempDir
import java.nio.file.Path
import java.sql.Connection
import org.jetbrains.exposed.sql.Database as Exposed

@Timeout(120)
class ExposedTest {
    @TempDir
    lateinit var directory: Path

    private fun enqueue(json: String) {
        val job = JobSpec("exposed", json, null)
        EnqueueSql.enqueue(TransactionManager.current().connection.connection as Connection, job)
    }

    @Test
    fun jobsInTheTransactionsOfExposed() {
        val file = directory.resolve("app.db")
        honker(file.toString()).use { db ->
            goesWithTheTransaction(db, Exposed.connect("jdbc:sqlite:$file", "org.sqlite.JDBC"))
        }
    }

    @Test
    @EnabledIfEnvironmentVariable(named = "HONKER_POSTGRES_URL", matches = ".+")
    fun jobsInTheTransactionsOfExposedOnPostgres() {
        honker(System.getenv("HONKER_POSTGRES_URL") + "&honker_migrate=on").use { db ->
            val jdbc = System.getenv("HONKER_POSTGRES_JDBC_URL")
            goesWithTheTransaction(db, Exposed.connect(jdbc, "org.postgresql.Driver"))
        }
    }

    private fun goesWithTheTransaction(
        db: Database,
        exposed: Exposed,
    ) {
        assertThrows(IllegalStateException::class.java) {
            transaction(exposed) {
                enqueue("1")
                error("no")
            }
        }
        transaction(exposed) { enqueue("2") }
        assertEquals(listOf("2"), db.queue("exposed").claimBatch("w", -1).map { it.payloadJson() })
    }
}
