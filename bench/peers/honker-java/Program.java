import com.fasterxml.jackson.databind.ObjectMapper;
import dev.honker.Database;
import dev.honker.EnqueueOptions;
import dev.honker.Honker;
import dev.honker.JsonCodec;
import dev.honker.OpenOptions;
import dev.honker.Queue;
import dev.honker.WorkerOptions;
import java.util.List;
import peer.Peer;

/** honker for Java, with its worker. */
public final class Program implements Peer.Producer {
  private static final ObjectMapper MAPPER = new ObjectMapper();
  private static final JsonCodec<Peer.Job> JSON =
      JsonCodec.of(MAPPER::writeValueAsString, json -> MAPPER.readValue(json, Peer.Job.class));

  private final Database db;
  private final Queue queue;

  private Program(Database db) {
    this.db = db;
    this.queue = db.queue("bench");
  }

  public static void main(String[] arguments) throws Exception {
    var durability = Peer.SYNCED ? OpenOptions.Durability.FULL : OpenOptions.Durability.NORMAL;
    try (var db = Honker.open(Peer.URL, OpenOptions.builder().durability(durability).build())) {
      if (arguments[0].equals("work")) {
        work(db);
      } else {
        Peer.produce(new Program(db));
      }
    }
  }

  private static void work(Database db) throws Exception {
    db.worker(WorkerOptions.builder().concurrency(Peer.CONCURRENCY).build())
        .handle("bench", JSON, job -> Peer.handle(job.payload().kind(), job.payload().n(), n -> append(db, n)))
        .start()
        .run();
  }

  private static void append(Database db, int n) {
    db.transactionVoid(tx -> tx.execute("INSERT INTO appended (n) VALUES (?)", List.of(n)));
  }

  @Override
  public void enqueue(Peer.Job job) throws Exception {
    queue.enqueue(MAPPER.writeValueAsString(job));
  }

  @Override
  public void enqueueMany(List<Peer.Job> jobs) throws Exception {
    enqueueAll(jobs, EnqueueOptions.builder().build());
  }

  @Override
  public void enqueueLater(List<Peer.Job> jobs) throws Exception {
    enqueueAll(jobs, EnqueueOptions.builder().delay(Peer.DAY).build());
  }

  private void enqueueAll(List<Peer.Job> jobs, EnqueueOptions options) throws Exception {
    var texts = new java.util.ArrayList<String>();
    for (Peer.Job job : jobs) {
      texts.add(MAPPER.writeValueAsString(job));
    }
    db.transactionVoid(tx -> queue.enqueueMany(tx, texts, options));
  }

  @Override
  public void transact(Peer.Job job, boolean commit) throws Exception {
    String text = MAPPER.writeValueAsString(job);
    db.transactionVoid(
        tx -> {
          tx.execute("INSERT INTO orders (n) VALUES (?)", List.of(job.n()));
          queue.enqueue(tx, text);
          if (!commit) tx.rollback();
        });
  }
}
