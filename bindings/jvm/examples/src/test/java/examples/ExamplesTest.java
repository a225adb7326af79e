package examples;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.BufferedReader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Runs each example as a program in an empty directory, and compares what it says. */
class ExamplesTest {
  @TempDir Path directory;

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "FirstQueue|claimed {\"name\":\"world\"}",
        "WorkerExample|sending Welcome to alice@example.com;stopped",
        "Workers|*",
        "AtomicEnqueue|order 1: 9900;9901",
        "ManyJobs|2 jobs, the first of r-17",
        "Newsletter|a second time: EXISTS;2 emails are done, rendered 2 times",
        "OwnConnection|claimed {\"order_id\":42}",
        "Testing|attempt 1;attempt 2",
        "Results|result {\"ok\":true};sending to alice@example.com",
        "Streams|[Row[customer, orders][alice, 2], Row[customer, orders][bob, 1]];1: {\"id\":1};2:"
            + " {\"id\":2};3: {\"id\":3};mailer has come to 3",
        "Listen|orders: {\"id\":1};orders: {\"id\":2}",
        "Schedules|pulse null;stopped",
        "Outboxes|posted {\"order_id\":42} at the second attempt",
        "LocksAndLimits|backing up;somebody is at it;3 of 5",
        "Tasks|{\"greeted\":[\"world\"]}",
        "Features|paused: true;REPLACED;1 of a batch to go;of nobody;q: timeout after 30 s;"
            + "true;1: timeout after # s;1 retried;*",
        "FeaturesKt|ENQUEUED;REPLACED;digest 2 for acme, attempt 1;download page 1;download page 2;"
            + "2 pages are in;rendering ended: GONE;[ENQUEUED, SKIPPED];done: 1;done: 2;1 due;"
            + "1 cancelled",
        "KotlinKt|claimed {\"name\":\"world\"};*",
      })
  void says(String name, String expected) throws Exception {
    List<String> command = new ArrayList<>();
    command.add(Path.of(System.getProperty("java.home"), "bin", "java").toString());
    if (Runtime.version().feature() >= 24) {
      command.addAll(List.of("--enable-native-access=ALL-UNNAMED", "--illegal-native-access=deny"));
    }
    String path =
        System.getProperty("surefire.test.class.path", System.getProperty("java.class.path"));
    command.addAll(List.of("-cp", path, "examples." + name));
    Path log = directory.resolve("log");
    Process process =
        new ProcessBuilder(command)
            .directory(directory.toFile())
            .redirectError(log.toFile())
            .start();
    String[] wanted = expected.split(";");
    List<String> lines = new ArrayList<>();
    try (BufferedReader out = process.inputReader(StandardCharsets.UTF_8)) {
      for (String line = out.readLine(); line != null; line = out.readLine()) {
        lines.add(line);
        boolean runsForEver = wanted[wanted.length - 1].equals("stopped");
        if (runsForEver && lines.size() == wanted.length - 1) {
          hearsSignals(process, log);
          process.toHandle().destroy();
        }
      }
      process.waitFor(10, TimeUnit.SECONDS);
      String logged = Files.readString(log);
      assertEquals(0, process.exitValue(), lines + logged);
      // Some of them fail on purpose, which is logged.
      assertEquals(name.equals("Outboxes"), logged.contains("the server is down"), logged);
      assertEquals(name.equals("Workers"), logged.contains("nothing to do"), logged);
      assertEquals(
          name.matches("FeaturesKt|Newsletter|Outboxes|Testing|Workers"),
          logged.contains("WARN"),
          logged);
      for (int i = 0; i < wanted.length; i++) {
        if (wanted[i].equals("*")) return;
        assertEquals(wanted[i], lines.get(i), lines.toString());
      }
      assertEquals(wanted.length, lines.size(), lines.toString());
    }
  }

  /** Its worker may have begun, and handled a job, before its main thread has come to that. */
  private static void hearsSignals(Process process, Path log) throws Exception {
    long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(60);
    while (process.isAlive() && !Files.readString(log).contains("runs until SIGTERM")) {
      assertTrue(System.nanoTime() < end, "it does not come to hear signals");
      Thread.sleep(5);
    }
  }
}
