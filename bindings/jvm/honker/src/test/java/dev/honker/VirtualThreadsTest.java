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
      assertTrue(looking.await(20, TimeUnit.SECONDS));
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
    OpenOptions patient = OpenOptions.builder().busyTimeout(Duration.ofSeconds(20)).build();
    try (Database db = Honker.open(directory.resolve("app.db"), patient)) {
      Queue queue = db.queue("q");
      CountDownLatch begun = new CountDownLatch(1);
      List<Thread> threads = new ArrayList<>();
      long begin = System.nanoTime();
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
      assertTrue(System.nanoTime() - begin < 10_000_000_000L);
      assertEquals(many + 1, queue.claimBatch("w", -1).size());
    }
  }
}
