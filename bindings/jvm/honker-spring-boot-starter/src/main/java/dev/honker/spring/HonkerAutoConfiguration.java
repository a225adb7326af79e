package dev.honker.spring;

import dev.honker.Database;
import dev.honker.EnqueueInterceptor;
import dev.honker.Honker;
import dev.honker.JobInterceptor;
import dev.honker.JsonCodec;
import dev.honker.OpenOptions;
import dev.honker.QueueOptions;
import dev.honker.WorkerOptions;
import io.micrometer.core.instrument.MeterRegistry;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.sql.Connection;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import javax.sql.DataSource;
import org.springframework.beans.factory.ObjectProvider;
import org.springframework.boot.LazyInitializationExcludeFilter;
import org.springframework.boot.autoconfigure.AutoConfiguration;
import org.springframework.boot.autoconfigure.condition.ConditionalOnBean;
import org.springframework.boot.autoconfigure.condition.ConditionalOnClass;
import org.springframework.boot.autoconfigure.condition.ConditionalOnMissingBean;
import org.springframework.boot.context.properties.EnableConfigurationProperties;
import org.springframework.boot.health.autoconfigure.contributor.ConditionalOnEnabledHealthIndicator;
import org.springframework.boot.health.contributor.HealthIndicator;
import org.springframework.context.annotation.Bean;
import org.springframework.context.annotation.Configuration;
import org.springframework.jdbc.datasource.DataSourceUtils;
import tools.jackson.databind.JavaType;
import tools.jackson.databind.json.JsonMapper;

/**
 * A {@link Database} on the file or server of {@code honker.path}, or the file of the context's
 * DataSource, a {@link HonkerTemplate}, and a worker for the methods that are {@link
 * HonkerListener}s. Beans that are {@link JobInterceptor}s and {@link EnqueueInterceptor}s are
 * used, in their order.
 */
@AutoConfiguration(
    afterName = {
      "org.springframework.boot.jdbc.autoconfigure.DataSourceAutoConfiguration",
      "org.springframework.boot.jackson.autoconfigure.JacksonAutoConfiguration",
      "org.springframework.boot.micrometer.metrics.autoconfigure.export.simple"
          + ".SimpleMetricsExportAutoConfiguration",
      "org.springframework.boot.micrometer.metrics.autoconfigure.CompositeMeterRegistryAutoConfiguration"
    })
@EnableConfigurationProperties(HonkerProperties.class)
public class HonkerAutoConfiguration {
  @Bean(destroyMethod = "close")
  @ConditionalOnMissingBean
  Database honkerDatabase(
      HonkerProperties properties,
      ObjectProvider<DataSourceFile> dataSource,
      ObjectProvider<EnqueueInterceptor> interceptors) {
    String path = properties.getPath();
    DataSourceFile file = dataSource.getIfAvailable();
    if (path == null && file != null) path = file.path();
    if (path == null) {
      throw new IllegalStateException(
          "set honker.path, to a SQLite file or the URL of a Postgres server (postgres://…), or have"
              + " a DataSource of a SQLite file (jdbc:sqlite:app.db)");
    }
    OpenOptions.Builder options = OpenOptions.builder().busyTimeout(properties.getBusyTimeout());
    interceptors.orderedStream().forEach(options::enqueueInterceptor);
    return Honker.open(path, options.build());
  }

  @Bean
  @ConditionalOnMissingBean
  HonkerTemplate honkerTemplate(
      Database database,
      HonkerProperties properties,
      ObjectProvider<DataSourceFile> dataSource,
      ObjectProvider<PayloadCodecs> codecs) {
    DataSourceFile file = dataSource.getIfAvailable();
    boolean isSame = file != null && isSame(file, database);
    Object source = isSame ? file.dataSource() : null;
    QueueOptions options = QueueOptions.builder().maxAttempts(properties.getMaxAttempts()).build();
    return new HonkerTemplate(database, source, codecs.getIfAvailable(), options.maxAttempts());
  }

  static boolean isServer(String path) {
    return path.startsWith("postgres://") || path.startsWith("postgresql://");
  }

  private static boolean isSame(DataSourceFile source, Database database) {
    if (isServer(database.path())) {
      return source.server() != null
          && source.server().equals(database.query(SERVER).get(0).getString("server"));
    }
    if (source.path() == null) return false;
    try {
      return Files.isSameFile(Path.of(source.path()), Path.of(database.path()));
    } catch (IOException e) {
      return false; // one of them is not there
    }
  }

  /** What tells one database of one server from all others, for as long as it runs. */
  private static final String SERVER =
      "SELECT current_database() || extract(epoch FROM pg_postmaster_start_time())::text AS server";

  @Bean
  static HonkerListeners honkerListeners(ObjectProvider<PayloadCodecs> codecs) {
    return new HonkerListeners(codecs::getIfAvailable);
  }

  /** A bean that nobody asks for would never be made, and its queue never be worked on. */
  @Bean
  static LazyInitializationExcludeFilter honkerListenersAreNotLazy() {
    return (name, definition, type) -> !HonkerListeners.methods(type).isEmpty();
  }

  @Bean
  @ConditionalOnMissingBean
  HonkerWorker honkerWorker(
      Database database,
      HonkerListeners listeners,
      HonkerProperties properties,
      ObjectProvider<JobInterceptor> interceptors,
      ObjectProvider<HonkerWorkerCustomizer> customizers) {
    HonkerProperties.Worker worker = properties.getWorker();
    WorkerOptions.Builder options =
        WorkerOptions.builder()
            .concurrency(worker.getConcurrency())
            .visibilityTimeout(worker.getVisibilityTimeout())
            .maxRun(worker.getMaxRun())
            .stopTimeout(worker.getStopTimeout());
    interceptors.orderedStream().forEach(options::interceptor);
    customizers.orderedStream().forEach(it -> it.customize(options));
    return new HonkerWorker(database, listeners, options.build(), worker.isEnabled());
  }

  /**
   * The context's DataSource, and the SQLite file that it is for, or what names the Postgres
   * server; both null for another database.
   */
  record DataSourceFile(Object dataSource, String path, String server) {
    static final DataSourceFile NONE = new DataSourceFile(null, null, null);
  }

  @Configuration(proxyBeanMethods = false)
  @ConditionalOnClass(DataSourceUtils.class)
  @ConditionalOnBean(DataSource.class)
  static class Jdbc {
    @Bean
    DataSourceFile honkerDataSourceFile(ObjectProvider<DataSource> dataSources)
        throws SQLException {
      DataSource dataSource = dataSources.getIfUnique();
      if (dataSource == null) return DataSourceFile.NONE;
      try (Connection connection = dataSource.getConnection()) {
        if ("PostgreSQL".equals(connection.getMetaData().getDatabaseProductName())) {
          try (Statement statement = connection.createStatement();
              ResultSet row = statement.executeQuery(SERVER)) {
            row.next();
            return new DataSourceFile(dataSource, null, row.getString(1));
          }
        }
        String url = connection.getMetaData().getURL();
        if (url == null || !url.startsWith("jdbc:sqlite:")) return DataSourceFile.NONE;
        String path = url.substring("jdbc:sqlite:".length()).replaceFirst("^file:", "");
        path = path.replaceFirst("\\?.*$", "");
        boolean isFile = !path.isEmpty() && !path.contains(":memory:");
        return new DataSourceFile(dataSource, isFile ? path : null, null);
      }
    }
  }

  @Configuration(proxyBeanMethods = false)
  @ConditionalOnClass(JsonMapper.class)
  @ConditionalOnBean(JsonMapper.class)
  static class Jackson {
    @Bean
    @ConditionalOnMissingBean
    PayloadCodecs honkerPayloadCodecs(JsonMapper mapper) {
      return type -> {
        JavaType java = mapper.constructType(type);
        return JsonCodec.of(mapper::writeValueAsString, json -> mapper.readValue(json, java));
      };
    }
  }

  @Configuration(proxyBeanMethods = false)
  @ConditionalOnClass(HealthIndicator.class)
  static class Health {
    @Bean
    @ConditionalOnEnabledHealthIndicator("honker")
    @ConditionalOnMissingBean(name = "honkerHealthIndicator")
    HealthIndicator honkerHealthIndicator(Database database, HonkerWorker worker) {
      return new HonkerHealthIndicator(database, worker);
    }
  }

  @Configuration(proxyBeanMethods = false)
  @ConditionalOnClass(MeterRegistry.class)
  @ConditionalOnBean(MeterRegistry.class)
  static class Metrics {
    @Bean
    JobInterceptor honkerMetrics(MeterRegistry registry) {
      return new HonkerMetrics(registry);
    }
  }
}
