import java.sql.SQLException;
import java.time.Instant;
import java.util.List;
import org.jobrunr.configuration.JobRunr;
import org.jobrunr.scheduling.BackgroundJob;
import org.jobrunr.server.BackgroundJobServerConfiguration;
import org.jobrunr.storage.sql.common.SqlStorageProviderFactory;
import org.sqlite.SQLiteConfig;
import org.sqlite.SQLiteDataSource;
import peer.Peer;

/** JobRunr on SQLite. */
public final class Program implements Peer.Producer {
  private static SQLiteDataSource source;

  private Program() {}

  public static void main(String[] arguments) throws Exception {
    var config = new SQLiteConfig();
    config.setJournalMode(SQLiteConfig.JournalMode.WAL);
    config.setBusyTimeout(30_000);
    config.setSynchronous(Peer.SYNCED ? SQLiteConfig.SynchronousMode.FULL : SQLiteConfig.SynchronousMode.NORMAL);
    source = new SQLiteDataSource(config);
    source.setUrl("jdbc:sqlite:" + Peer.URL);
    var jobrunr = JobRunr.configure().useStorageProvider(SqlStorageProviderFactory.using(source));
    if (arguments[0].equals("work")) {
      var server =
          BackgroundJobServerConfiguration.usingStandardBackgroundJobServerConfiguration()
              .andWorkerCount(Peer.CONCURRENCY)
              .andPollIntervalInSeconds(Peer.SHORTEST ? 5 : 15);
      jobrunr.useBackgroundJobServer(server).initialize();
      Thread.currentThread().join();
    } else {
      jobrunr.initialize();
      Peer.produce(new Program());
      System.exit(0);
    }
  }

  /** What a job calls. */
  public static void run(String kind, int n) throws Exception {
    Peer.handle(kind, n, Program::append);
  }

  private static void append(int n) throws SQLException {
    try (var connection = source.getConnection();
        var statement = connection.prepareStatement("INSERT INTO appended (n) VALUES (?)")) {
      statement.setInt(1, n);
      statement.executeUpdate();
    }
  }

  @Override
  public void enqueue(Peer.Job job) {
    String kind = job.kind();
    int n = job.n();
    BackgroundJob.enqueue(() -> Program.run(kind, n));
  }

  @Override
  public void enqueueMany(List<Peer.Job> jobs) {
    String kind = jobs.get(0).kind();
    BackgroundJob.<Integer>enqueue(jobs.stream().map(Peer.Job::n), n -> Program.run(kind, n));
  }

  @Override
  public void enqueueLater(List<Peer.Job> jobs) {
    Instant later = Instant.now().plus(Peer.DAY);
    for (Peer.Job job : jobs) {
      String kind = job.kind();
      int n = job.n();
      BackgroundJob.schedule(later, () -> Program.run(kind, n));
    }
  }
}
