package dev.honker;

/**
 * What a task is called with.
 *
 * @param argsJson a JSON array
 * @param kwargsJson a JSON object
 */
public record TaskCall(String argsJson, String kwargsJson) {}
