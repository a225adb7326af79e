package dev.honker.spring;

import dev.honker.Database;
import org.springframework.boot.health.contributor.AbstractHealthIndicator;
import org.springframework.boot.health.contributor.Health;

/** Up as long as the file or the server answers, and no error has ended the worker. */
class HonkerHealthIndicator extends AbstractHealthIndicator {
  private final Database database;
  private final HonkerWorker worker;

  HonkerHealthIndicator(Database database, HonkerWorker worker) {
    this.database = database;
    this.worker = worker;
  }

  @Override
  protected void doHealthCheck(Health.Builder builder) {
    boolean isServer = HonkerAutoConfiguration.isServer(database.path());
    String schema = isServer ? "honker." : "";
    database.query("SELECT 1 FROM " + schema + "_honker_live LIMIT 1");
    // The URL of a server may have a password in it.
    String where = isServer ? "the Postgres server" : database.path();
    builder.withDetail("file", where).withDetail("worker", worker.isRunning());
    worker.failure().ifPresentOrElse(builder::down, builder::up);
  }
}
