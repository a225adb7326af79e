package dev.honker.kotlin

import dev.honker.EnqueueSql
import dev.honker.JobSpec
import org.jetbrains.exposed.sql.transactions.TransactionManager
import org.jetbrains.exposed.sql.transactions.transaction
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertThrows
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.Timeout
import org.junit.jupiter.api.io.TempDir
import java.nio.file.Path
import java.sql.Connection
import org.jetbrains.exposed.sql.Database as Exposed

@Timeout(120)
class ExposedTest {
    @TempDir
    lateinit var directory: Path

    private fun enqueue(json: String) {
        val job = JobSpec("q", json, null)
        EnqueueSql.enqueue(TransactionManager.current().connection.connection as Connection, job)
    }

    @Test
    fun jobsInTheTransactionsOfExposed() {
        val file = directory.resolve("app.db")
        honker(file.toString()).use { db ->
            val exposed = Exposed.connect("jdbc:sqlite:$file", "org.sqlite.JDBC")
            assertThrows(IllegalStateException::class.java) {
                transaction(exposed) {
                    enqueue("1")
                    error("no")
                }
            }
            transaction(exposed) { enqueue("2") }
            assertEquals(listOf("2"), db.queue("q").claimBatch("w", -1).map { it.payloadJson() })
        }
    }
}
