package dev.honker.kotlin

import dev.honker.JsonCodec
import kotlinx.serialization.KSerializer
import kotlinx.serialization.json.Json
import kotlinx.serialization.serializer

/**
 * A codec for a class that is `@Serializable`: `jsonCodec<Email>()`. The application has `kotlinx-serialization-json`, and the
 * compiler's plugin.
 */
public inline fun <reified T> jsonCodec(json: Json = Json): JsonCodec<T> = jsonCodec(json, serializer<T>())

/** A codec of a serializer. */
public fun <T> jsonCodec(
    json: Json,
    serializer: KSerializer<T>,
): JsonCodec<T> =
    JsonCodec.of(
        { json.encodeToString(serializer, it) },
        { json.decodeFromString(serializer, it) },
    )
