package dev.honker;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotSame;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.File;
import java.lang.ref.WeakReference;
import java.net.URL;
import java.net.URLClassLoader;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.io.TempDir;

/** An application that is unloaded while the process goes on. */
@Timeout(200)
class UnloadTest {
  @TempDir Path directory;

  /** What an application does; its own class loader has this class, honker's and JNA's. */
  public static final class Application implements java.util.concurrent.Callable<Boolean> {
    @Override
    public Boolean call() throws Exception {
      Path file = Path.of(System.getProperty("honker.test.file"));
      try (Database db = Honker.open(file)) {
        Queue queue = db.queue("q");
        queue.enqueue("1");
        CountDownLatch done = new CountDownLatch(1);
        try (Runner worker = queue.worker("w", job -> done.countDown());
            Listener listener = db.listen("c")) {
          done.await();
          db.notify("c", "1");
          assertTrue(listener.next(Duration.ofSeconds(20)).isPresent());
        }
        CompletableFuture<String> result =
            queue.waitResultAsync(1, WaitOptions.timeout(Duration.ofHours(1)));
        queue.saveResult(1, "2");
        assertEquals("2", result.get());
        assertEquals("HONKER_MISUSE", assertThrows(HonkerException.class, Honker::unload).name());
      }
      Honker.unload();
      Honker.unload();
      Honker.open(file).close(); // which loads it again
      Honker.unload();
      return true;
    }
  }

  @Test
  void theClassLoaderIsCollected() throws Exception {
    System.setProperty("honker.test.file", directory.resolve("app.db").toString());
    List<WeakReference<ClassLoader>> loaders = new ArrayList<>();
    for (int i = 0; i < 2; i++) loaders.add(deploy());
    long end = System.nanoTime() + 150_000_000_000L;
    while (loaders.stream().anyMatch(it -> it.get() != null)) {
      assertTrue(System.nanoTime() < end, "it is kept");
      System.gc();
      Thread.sleep(500); // JNA's thread stays for 30 seconds
    }
  }

  /** In a context as containers have it, on a thread that stays. */
  private static WeakReference<ClassLoader> deploy() throws Exception {
    String path =
        System.getProperty("surefire.test.class.path", System.getProperty("java.class.path"));
    List<URL> urls = new ArrayList<>();
    for (String entry : path.split(File.pathSeparator)) urls.add(new File(entry).toURI().toURL());
    ClassLoader before = Thread.currentThread().getContextClassLoader();
    try (URLClassLoader loader =
        new URLClassLoader(urls.toArray(new URL[0]), ClassLoader.getPlatformClassLoader())) {
      Thread.currentThread().setContextClassLoader(loader);
      Class<?> application = Class.forName(Application.class.getName(), true, loader);
      assertNotSame(Application.class, application);
      Object instance = application.getDeclaredConstructor().newInstance();
      assertEquals(true, application.getMethod("call").invoke(instance));
      return new WeakReference<>(loader);
    } finally {
      Thread.currentThread().setContextClassLoader(before);
    }
  }
}
