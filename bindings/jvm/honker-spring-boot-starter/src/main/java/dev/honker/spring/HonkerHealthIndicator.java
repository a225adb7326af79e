package dev.honker.spring;

import dev.honker.Database;
import org.springframework.boot.health.contributor.AbstractHealthIndicator;
import org.springframework.boot.health.contributor.Health;

/** Up as long as the file answers, and no error has ended the worker. */
class HonkerHealthIndicator extends AbstractHealthIndicator {
  private final Database database;
  private final HonkerWorker worker;

  HonkerHealthIndicator(Database database, HonkerWorker worker) {
    this.database = database;
    this.worker = worker;
  }

  @Override
  protected void doHealthCheck(Health.Builder builder) {
    database.query("SELECT 1 FROM _honker_live LIMIT 1");
    builder.withDetail("file", database.path()).withDetail("worker", worker.isRunning());
    worker.failure().ifPresentOrElse(builder::down, builder::up);
  }
}
