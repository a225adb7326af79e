package dev.honker.kotlin

import dev.honker.ClaimLostException
import dev.honker.DiscardException
import dev.honker.Job
import dev.honker.JsonCodec
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.NonCancellable
import kotlinx.coroutines.withContext

/**
 * Does a part of the job once, as [Job.step] does, with a suspending function. It answers text, JSON by convention, which is saved;
 * null is JSON's null.
 *
 * @return what was saved, now or by an earlier attempt
 * @throws ClaimLostException if the claim was lost meanwhile: nothing was saved
 */
public suspend fun Job.suspendingStep(
    name: String,
    work: suspend () -> String?,
): String {
    // On a thread that may block.
    val saved = withContext(Dispatchers.IO) { getStep(name).orElse(null) }
    if (saved != null) return saved
    val json = work() ?: "null"
    // What was done is saved, even if the coroutine is cancelled just now.
    return withContext(NonCancellable) { withContext(Dispatchers.IO) { saveStep(null, name, json) } }
}

/**
 * As the other form, with a value: the codec makes the text that is saved, and the value of it, also the first time.
 *
 * @throws DiscardException if the codec makes no text of the value: nothing was saved, and the job of a handler that throws it is among
 * the dead, since another attempt would do the work again
 */
public suspend fun <T> Job.suspendingStep(
    name: String,
    codec: JsonCodec<T>,
    work: suspend () -> T,
): T =
    codec.decode(
        suspendingStep(name) {
            val value = work()
            try {
                codec.encode(value)
            } catch (e: Exception) {
                throw DiscardException("the step $name has run, and is not saved: ${e.message ?: e}", e)
            }
        },
    )
