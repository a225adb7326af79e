package dev.honker;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.lang.reflect.Method;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicReference;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.condition.EnabledForJreRange;
import org.junit.jupiter.api.condition.JRE;
import org.junit.jupiter.api.io.TempDir;

/**
 * Virtual threads, which Java 21 and later have: they wait without keeping a thread of the system.
 */
@Timeout(60)
@EnabledForJreRange(min = JRE.JAVA_21)
class VirtualThreadsTest {
  @TempDir Path directory;

  private static Thread start(Runnable work) {
    try {
      Method start = Thread.class.getMethod("startVirtualThread", Runnable.class);
      return (Thread) start.invoke(null, work);
    } catch (ReflectiveOperationException e) {
      throw new AssertionError(e);
    }
  }

  /**
   * Far more wait than there are carriers: if one kept its carrier, the last would never come to
   * wait.
   */
  @Test
  void manyWait() throws Exception {
    int many = 500;
    try (Database db = Temporary.open(directory)) {
      CountDownLatch looking = new CountDownLatch(many);
      AtomicInteger heard = new AtomicInteger();
      List<Thread> threads = new ArrayList<>();
      for (int i = 0; i < many; i++) {
        Listener listener = db.listen("c");
        threads.add(
            start(
                () -> {
                  looking.countDown();
                  try {
                    if (listener.next(Duration.ofSeconds(30)).isPresent()) heard.incrementAndGet();
                  } catch (InterruptedException e) {
                    throw new AssertionError(e);
                  }
                }));
      }
      assertTrue(looking.await(60, TimeUnit.SECONDS));
      db.notify("c", "1");
      for (Thread thread : threads) thread.join();
      assertEquals(many, heard.get());
    }
  }

  /**
   * All carriers' worth of virtual threads want to write while one of them has a transaction open,
   * and sleeps in it: it has to get its carrier back.
   */
  @Test
  void aTransactionThatSleepsGoesOn() throws Exception {
    int many = 64;
    OpenOptions patient = OpenOptions.builder().busyTimeout(Duration.ofSeconds(60)).build();
    try (Database db = Honker.open(directory.resolve("app.db"), patient)) {
      Queue queue = db.queue("q");
      CountDownLatch begun = new CountDownLatch(1);
      List<Thread> threads = new ArrayList<>();
      threads.add(
          start(
              () ->
                  db.transactionVoid(
                      tx -> {
                        begun.countDown();
                        try {
                          Thread.sleep(300);
                        } catch (InterruptedException e) {
                          throw new AssertionError(e);
                        }
                        queue.enqueue(tx, "tx");
                      })));
      begun.await();
      for (int i = 0; i < many; i++) threads.add(start(() -> queue.enqueue("1")));
      for (Thread thread : threads) thread.join();
      assertEquals(many + 1, queue.claimBatch("w", -1).size());
    }
  }

  /**
   * A transaction of one database sleeps while all carriers' worth of virtual threads want to write
   * through another one on the same file: it has to get its carrier back before they give up.
   */
  @Test
  void twoDatabasesOnOneFile() throws Exception {
    int many = 64;
    Path file = directory.resolve("app.db");
    Temporary.eventually(() -> Temporary.threads("honker-call") == 0); // of the test before
    OpenOptions patient = OpenOptions.builder().busyTimeout(Duration.ofSeconds(60)).build();
    try (Database one = Honker.open(file, patient);
        Database two = Honker.open(file, patient)) {
      CountDownLatch begun = new CountDownLatch(1);
      AtomicReference<Throwable> failure = new AtomicReference<>();
      List<Thread> threads = new ArrayList<>();
      threads.add(
          start(
              () ->
                  one.transactionVoid(
                      tx -> {
                        begun.countDown();
                        for (int i = 0; i < 20; i++) {
                          try {
                            Thread.sleep(20);
                          } catch (InterruptedException e) {
                            throw new AssertionError(e);
                          }
                          one.queue("q").enqueue(tx, "tx");
                        }
                      })));
      begun.await();
      for (int i = 0; i < many; i++) {
        boolean isTransaction = i % 16 == 15; // not the first: at its gate the rest would be parked
        threads.add(
            start(
                () -> {
                  try {
                    if (isTransaction) {
                      two.transactionVoid(tx -> two.queue("q").enqueue(tx, "1"));
                    } else {
                      two.queue("q").enqueue("1");
                    }
                  } catch (Throwable e) {
                    failure.set(e);
                  }
                }));
      }
      // However many want to write; and one has begun the transaction.
      assertTrue(Temporary.threads("honker-call") <= 16 + 1);
      for (Thread thread : threads) thread.join();
      if (failure.get() != null) throw new AssertionError(failure.get());
      assertEquals(many + 20, one.queue("q").claimBatch("w", -1).size());
    }
    Temporary.eventually(() -> Temporary.threads("honker-call") == 0);
  }

  /** Closing ends the calls that run, and those that wait for a thread to run on. */
  @Test
  void closingEndsTheCallsOfVirtualThreads() throws Exception {
    Path file = directory.resolve("app.db");
    OpenOptions patient = OpenOptions.builder().busyTimeout(Duration.ofSeconds(50)).build();
    try (Database one = Honker.open(file);
        Transaction tx = one.begin()) {
      Database two = Honker.open(file, patient);
      AtomicInteger closed = new AtomicInteger();
      List<Thread> threads = new ArrayList<>();
      for (int i = 0; i < 40; i++) {
        threads.add(
            start(
                () -> {
                  try {
                    two.queue("q").enqueue("1");
                  } catch (HonkerClosedException e) {
                    closed.incrementAndGet();
                  }
                }));
      }
      Temporary.eventually(() -> Temporary.threads("honker-call") == 16);
      two.close();
      for (Thread thread : threads) thread.join();
      assertEquals(40, closed.get());
    }
  }
}
