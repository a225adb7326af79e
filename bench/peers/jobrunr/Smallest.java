import org.jobrunr.configuration.JobRunr;
import org.jobrunr.scheduling.BackgroundJob;
import org.jobrunr.storage.sql.common.SqlStorageProviderFactory;
import org.sqlite.SQLiteDataSource;

public final class Smallest {
  public static void main(String[] arguments) {
    var source = new SQLiteDataSource();
    source.setUrl("jdbc:sqlite:app.db");
    JobRunr.configure()
        .useStorageProvider(SqlStorageProviderFactory.using(source))
        .useBackgroundJobServer()
        .initialize();
    BackgroundJob.enqueue(() -> System.out.println("hello"));
  }
}
