package dev.honker;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;
import org.junit.jupiter.api.io.TempDir;

/** Whatever cannot be used is refused with the package's own exception, which names it. */
class BadInputTest {
  @TempDir Path directory;

  private static void refused(String word, Executable call) {
    String message = assertThrows(HonkerInvalidOptionException.class, call).getMessage();
    assertTrue(message.contains(word), message);
  }

  @Test
  void textsThatAreNone() {
    try (Database db = Temporary.open(directory)) {
      Queue queue = db.queue("q");
      refused("json", () -> queue.enqueue((String) null));
      refused("json", () -> queue.enqueue("half a \ud83d"));
      refused("json", () -> queue.enqueue("the other half \ude00."));
      refused("NUL", () -> queue.enqueue("a\0b"));
      refused("name", () -> db.queue(null));
      refused("name", () -> db.queue("\udc00"));
      refused("workerId", () -> queue.claimOne(null));
      refused("channel", () -> db.notify(null, "1"));
      refused("path", () -> Honker.open((String) null));
      assertEquals(List.of(), queue.claimBatch("w", -1));
    }
  }

  @Test
  void whatTheLibraryWouldTakeForNone() {
    refused("delay", () -> EnqueueOptions.builder().delay(Duration.ofSeconds(Long.MAX_VALUE)));
    refused("runAt", () -> EnqueueOptions.builder().runAtEpochSecond(Long.MAX_VALUE));
    refused("maxKeep", () -> NotificationPruneOptions.builder().maxKeep(Long.MAX_VALUE));
    refused("fromOffset", () -> SubscribeOptions.builder().fromOffset(Long.MAX_VALUE));
    refused("expires", () -> new ScheduleUpdate().expires(Duration.ofSeconds(Long.MAX_VALUE)));
    refused("maxAttempts", () -> new ScheduleUpdate().maxAttempts(Long.MAX_VALUE));
  }

  @Test
  void durationsThatAreNotWholeSeconds() {
    Duration half = Duration.ofMillis(1500);
    refused("delay", () -> EnqueueOptions.builder().delay(half));
    refused("visibilityTimeout", () -> QueueOptions.builder().visibilityTimeout(half));
    refused("ttl", () -> LockOptions.builder().ttl(half));
    refused("ttl", () -> ResultOptions.ttl(half));
    refused("interval", () -> CronSchedule.every(half));
    refused("delay", () -> new RetryableException("", half));
  }

  /** As one writes them: without a cast or an L. */
  @Test
  void literals() {
    assertEquals(5, EnqueueOptions.builder().maxAttempts(5).build().maxAttempts());
    assertEquals(5, NotificationPruneOptions.builder().maxKeep(5).build().maxKeep());
    assertEquals(0, SubscribeOptions.builder().fromOffset(0).build().fromOffset());
    new ScheduleUpdate().maxAttempts(5).maxAttempts(null);
  }

  @Test
  void optionsSayWhatTheyAreAndStayThat() {
    QueueOptions.Builder builder = QueueOptions.builder().maxAttempts(5);
    QueueOptions five = builder.build();
    assertEquals(6, builder.maxAttempts(6).build().maxAttempts());
    assertEquals("QueueOptions[visibilityTimeout=PT5M, maxAttempts=5]", five.toString());
  }

  /** A job without an attempt would never be claimed, and nobody would say so. */
  @Test
  void attempts() {
    for (long none : new long[] {0, -1, Long.MIN_VALUE}) {
      refused("maxAttempts must be at least 1", () -> QueueOptions.builder().maxAttempts(none));
      refused("maxAttempts must be at least 1", () -> OutboxOptions.builder().maxAttempts(none));
    }
    assertEquals(1, QueueOptions.builder().maxAttempts(1).build().maxAttempts());
  }

  @Test
  void aQueryThatWrites() {
    try (Database db = Temporary.open(directory)) {
      HonkerSqlException e =
          assertThrows(HonkerSqlException.class, () -> db.query("CREATE TABLE t (a)"));
      assertTrue(
          e.getMessage().startsWith("query only reads; write in a transaction: "), e.getMessage());
      assertEquals(8, e.sqliteCode());
      assertEquals(List.of(), db.query("SELECT * FROM sqlite_schema WHERE name = 't'"));
    }
  }

  /** What the library leaves beside a success is told, and freed. */
  @Test
  void aWarning() {
    try (Database db = Temporary.open(directory);
        Logged logged = new Logged()) {
      long[] err = new long[1];
      byte[] sql = "SELEC".getBytes(java.nio.charset.StandardCharsets.UTF_8);
      long[] out = new long[1];
      db.library.honker_query(db.handle(), sql, sql.length, null, 0, out, err);
      assertTrue(err[0] != 0);
      assertEquals(Abi.OK, db.check(Abi.OK, err));
      assertEquals(0, err[0]);
      assertEquals(1, logged.count("SELEC"));
    }
  }

  @Test
  void parameters() {
    try (Database db = Temporary.open(directory)) {
      refused("params", () -> db.query("SELECT ?", List.of(new Object())));
      refused("parameter", () -> db.query("SELECT ?", List.of()));
      refused("column", () -> db.query("SELECT 1 AS one").get(0).get("two"));
      refused("column", () -> db.query("SELECT 1 AS one").get(0).get(1));
      refused("integer", () -> db.query("SELECT 'x' AS one").get(0).getLong("one"));
      HonkerSqlException e = assertThrows(HonkerSqlException.class, () -> db.query("SELEC"));
      assertEquals(1, e.sqliteCode());
      assertEquals("HONKER_SQL", e.name());
    }
  }

  @Test
  void valuesComeBackAsTheyWere() {
    try (Database db = Temporary.open(directory)) {
      byte[] blob = {0, (byte) 0xff};
      List<Object> values =
          new java.util.ArrayList<>(List.of(Long.MIN_VALUE, 2.5, "é\ud83d\ude00", ""));
      values.add(null);
      Row row = db.query("SELECT ?1, ?2, ?3, ?4, ?5", values).get(0);
      for (int i = 0; i < values.size(); i++) assertEquals(values.get(i), row.get(i));
      Object back = db.query("SELECT ?", List.of(blob)).get(0).get(0);
      assertEquals(List.of((byte) 0, (byte) 0xff), List.of(((byte[]) back)[0], ((byte[]) back)[1]));
      assertEquals(0, ((byte[]) db.query("SELECT x''").get(0).get(0)).length);
      assertEquals(1L, db.query("SELECT ?", List.of(true)).get(0).get(0));
    }
  }

  @Test
  void anEmptyKeyIsNotNone() {
    try (Database db = Temporary.open(directory)) {
      Stream stream = db.stream("s");
      stream.publish("1", "");
      stream.publish("2");
      List<StreamEvent> events = stream.readSince(0, -1);
      assertEquals("", events.get(0).key());
      assertEquals(null, events.get(1).key());
    }
  }

  @Test
  void theErrorOfAWorkerIsAnyText() {
    try (Database db = Temporary.open(directory)) {
      Queue queue = db.queue("q");
      queue.enqueue("1");
      assertTrue(queue.claimOne("w").orElseThrow().fail("a\0b\ud83d"));
      assertTrue(queue.deadJson(-1).contains("a\ufffdb?"), queue.deadJson(-1));
    }
  }

  @Test
  void aCodecThatFailsEnqueuesNothing() {
    try (Database db = Temporary.open(directory)) {
      Queue queue = db.queue("q");
      TypedQueue<String> typed =
          queue.typed(
              new JsonCodec<>() {
                @Override
                public String encode(String value) throws Exception {
                  throw new java.io.IOException("no");
                }

                @Override
                public String decode(String json) throws Exception {
                  throw new java.io.IOException("no");
                }
              });
      refused("encoded", () -> typed.enqueue("1"));
      assertTrue(queue.claimOne("w").isEmpty());
      queue.enqueue("1");
      TypedJob<String> job = typed.claimOne("w").orElseThrow();
      String message = assertThrows(DiscardException.class, job::payload).getMessage();
      assertEquals("the payload cannot be decoded: no", message);
    }
  }

  @Test
  void anythingClosedSaysSo() throws Exception {
    Database db = Temporary.open(directory);
    Queue queue = db.queue("q");
    Worker worker = queue.worker("w");
    Lock lock = db.lock("l");
    Transaction over = db.begin();
    over.commit();
    assertEquals(
        "HONKER_MISUSE",
        assertThrows(HonkerException.class, () -> queue.enqueue(over, "1")).name());
    over.close();
    assertThrows(HonkerException.class, () -> queue.enqueue(over, "1"));
    assertTrue(queue.claimOne("w").isEmpty());
    worker.close();
    worker.close();
    assertThrows(HonkerClosedException.class, () -> worker.next(Duration.ZERO));
    db.close();
    db.close();
    assertThrows(HonkerClosedException.class, () -> queue.enqueue("1"));
    assertThrows(HonkerClosedException.class, () -> queue.claimOne("w"));
    assertThrows(HonkerClosedException.class, () -> db.queue("q"));
    assertThrows(HonkerClosedException.class, db::begin);
    assertThrows(HonkerClosedException.class, () -> db.listen("c"));
    assertThrows(HonkerClosedException.class, () -> db.query("SELECT 1"));
    assertThrows(
        HonkerClosedException.class, () -> queue.waitResult(1, WaitOptions.timeout(Duration.ZERO)));
    lock.close();
  }

  @Test
  void aTransactionOfAnotherDatabase() {
    try (Database db = Temporary.open(directory);
        Database other = Honker.open(directory.resolve("other.db"));
        Transaction tx = other.begin()) {
      refused("another database", () -> db.queue("q").enqueue(tx, "1"));
    }
  }

  @Test
  void aThreadThatWouldWaitForItself() {
    try (Database db = Temporary.open(directory)) {
      Queue queue = db.queue("q");
      db.transactionVoid(
          tx -> {
            assertEquals(
                "HONKER_MISUSE",
                assertThrows(HonkerException.class, () -> queue.enqueue("1")).name());
            assertEquals("HONKER_MISUSE", assertThrows(HonkerException.class, db::begin).name());
            queue.enqueue(tx, "2");
          });
      assertEquals("2", queue.claimOne("w").orElseThrow().payloadJson());
      queue.enqueue("3");
      assertFalse(queue.claimOne("w").isEmpty());
    }
  }
}
