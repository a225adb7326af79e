package dev.honker.spring;

import java.time.Duration;
import org.springframework.boot.context.properties.ConfigurationProperties;

/** What {@code honker.*} says. */
@ConfigurationProperties("honker")
public class HonkerProperties {
  /** The file, or the URL of a Postgres server; without it, the file of the DataSource. */
  private String path;

  /** How long calls wait for a file that others keep locked. */
  private Duration busyTimeout = Duration.ofSeconds(5);

  /** How often the template's jobs may be claimed, unless their options say so. */
  private long maxAttempts = 10;

  private final Worker worker = new Worker();

  public String getPath() {
    return path;
  }

  public void setPath(String path) {
    this.path = path;
  }

  public Duration getBusyTimeout() {
    return busyTimeout;
  }

  public void setBusyTimeout(Duration busyTimeout) {
    this.busyTimeout = busyTimeout;
  }

  public long getMaxAttempts() {
    return maxAttempts;
  }

  public void setMaxAttempts(long maxAttempts) {
    this.maxAttempts = maxAttempts;
  }

  public Worker getWorker() {
    return worker;
  }

  /** The worker that calls the listeners. */
  public static class Worker {
    /** Whether the listeners are called in this process. */
    private boolean enabled = true;

    /** How many jobs are handled at a time. */
    private int concurrency = 8;

    /** How long a claim is valid unless it is extended, which the worker does. */
    private Duration visibilityTimeout = Duration.ofSeconds(300);

    /** How long a job may take; without it, as long as it needs. */
    private Duration maxRun;

    /**
     * How long running jobs have when the context is closed. Less than
     * spring.lifecycle.timeout-per-shutdown-phase, after which their beans are gone.
     */
    private Duration stopTimeout = Duration.ofSeconds(8);

    public boolean isEnabled() {
      return enabled;
    }

    public void setEnabled(boolean enabled) {
      this.enabled = enabled;
    }

    public int getConcurrency() {
      return concurrency;
    }

    public void setConcurrency(int concurrency) {
      this.concurrency = concurrency;
    }

    public Duration getVisibilityTimeout() {
      return visibilityTimeout;
    }

    public void setVisibilityTimeout(Duration visibilityTimeout) {
      this.visibilityTimeout = visibilityTimeout;
    }

    public Duration getMaxRun() {
      return maxRun;
    }

    public void setMaxRun(Duration maxRun) {
      this.maxRun = maxRun;
    }

    public Duration getStopTimeout() {
      return stopTimeout;
    }

    public void setStopTimeout(Duration stopTimeout) {
      this.stopTimeout = stopTimeout;
    }
  }
}
