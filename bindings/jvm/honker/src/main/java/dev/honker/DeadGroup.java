package dev.honker;

import java.util.List;

/**
 * Dead jobs that died of the same.
 *
 * @param error what their errors have in common, in which # stands for a number or an id; null if
 *     they have none
 * @param count how many there are
 * @param newest the one that died last
 */
public record DeadGroup(String error, long count, JobInfo newest) {
  /** Those of a queue, or of all if it is null. */
  static List<DeadGroup> of(Database database, byte[] queue) {
    String json =
        database
            .text(
                (db, out, err) ->
                    database.library.honker_dead_groups(
                        db, 0, queue, queue == null ? 0 : queue.length, out, err))
            .orElseThrow();
    return Json.Fields.list(
        Json.parse(json),
        group ->
            new DeadGroup(
                group.text("error"), group.number("count"), JobInfo.of(group.fields("newest"))));
  }
}
