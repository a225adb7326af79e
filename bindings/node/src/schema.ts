import { text } from "./schema_text.js";

/**
 * The SQL that makes honker's tables and indexes, where they are not there yet: for the migrations of an application, or a
 * database in memory for its tests. {@link open} does the same by itself, and brings older files up to date, which this does not.
 */
export const schemaSql = (): string => text;
