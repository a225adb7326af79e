package peer;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.BufferedReader;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;

/** What the peers in Java share: the lines they speak with the driver, and what their jobs do. See bench/peers/README.md. */
public final class Peer {
  public static final String URL = System.getenv("PEER_URL");
  public static final boolean SYNCED = "synced".equals(System.getenv("PEER_DURABILITY"));
  public static final boolean SHORTEST = "shortest".equals(System.getenv("PEER_RECOVERY"));
  public static final int CONCURRENCY =
      Integer.parseInt(System.getenv().getOrDefault("PEER_CONCURRENCY", "1"));
  public static final Duration DAY = Duration.ofDays(1);

  private static final ObjectMapper JSON = new ObjectMapper();
  private static FileOutputStream events;

  /** A job: what it is, and its number. */
  public record Job(String kind, int n) {}

  /** Adds a row to the application's table. */
  public interface Append {
    void row(int n) throws Exception;
  }

  /** A peer that enqueues. A method that it has not is unsupported. */
  public interface Producer {
    void enqueue(Job job) throws Exception;

    default void enqueueMany(List<Job> jobs) throws Exception {
      throw new UnsupportedOperationException();
    }

    default void enqueueLater(List<Job> jobs) throws Exception {
      throw new UnsupportedOperationException();
    }

    default void transact(Job job, boolean commit) throws Exception {
      throw new UnsupportedOperationException();
    }
  }

  private Peer() {}

  /** The job: it notes that it was run; "append" adds a row, in the middle of some work; "hold" does not end. */
  public static void handle(String kind, int n, Append append) throws Exception {
    if (kind.equals("append")) {
      Thread.sleep(2);
      append.row(n);
      Thread.sleep(2);
    }
    String line = "%s %d %d %d\n".formatted(kind, n, nanoseconds(), ProcessHandle.current().pid());
    events().write(line.getBytes(StandardCharsets.UTF_8));
    if (kind.equals("hold")) {
      Thread.sleep(Duration.ofHours(1).toMillis());
    }
  }

  private static synchronized FileOutputStream events() throws IOException {
    if (events == null) {
      events = new FileOutputStream(System.getenv("PEER_EVENTS"), true);
    }
    return events;
  }

  private static long nanoseconds() {
    Instant now = Instant.now();
    return now.getEpochSecond() * 1_000_000_000L + now.getNano();
  }

  /** Does what the driver asks, until it closes the input. */
  public static void produce(Producer producer) throws IOException {
    System.out.println("{\"ready\": true}");
    var lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    for (String line = lines.readLine(); line != null; line = lines.readLine()) {
      ObjectNode answer = JSON.createObjectNode();
      try {
        act(producer, JSON.readTree(line), answer);
      } catch (UnsupportedOperationException e) {
        answer.put("unsupported", true);
      } catch (Exception e) {
        answer.put("error", e.toString());
      }
      System.out.println(JSON.writeValueAsString(answer));
    }
  }

  private static void act(Producer producer, JsonNode request, ObjectNode answer) throws Exception {
    String kind = request.get("kind").asText();
    String way = request.has("way") ? request.get("way").asText() : "plain";
    boolean commit = !request.has("commit") || request.get("commit").asBoolean();
    int first = request.get("first").asInt();
    int count = request.get("count").asInt();
    int batch = request.has("batch") ? request.get("batch").asInt() : 1;
    double cap = request.has("cap_s") ? request.get("cap_s").asDouble() : 3600;
    answer.put("at", nanoseconds());
    long started = System.nanoTime();
    int done = 0;
    while (done < count && (System.nanoTime() - started) / 1e9 < cap) {
      List<Job> jobs = new ArrayList<>();
      for (int i = 0; i < Math.min(batch, count - done); i++) {
        jobs.add(new Job(kind, first + done + i));
      }
      switch (way) {
        case "transact" -> producer.transact(jobs.get(0), commit);
        case "later" -> producer.enqueueLater(jobs);
        default -> {
          if (batch == 1) {
            producer.enqueue(jobs.get(0));
          } else {
            producer.enqueueMany(jobs);
          }
        }
      }
      done += jobs.size();
    }
    answer.put("count", done);
    answer.put("seconds", (System.nanoTime() - started) / 1e9);
  }
}
