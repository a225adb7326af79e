# frozen_string_literal: true

module Honker
  # Under Rails `Honker.database` is the application's primary database, if that is SQLite or Postgres, or what
  # `config.honker.database` names. ActiveJob has the adapter `:honker`, and {Honker.logger} is Rails'.
  #
  # If the primary database is SQLite its connections have honker's SQL functions, and its file gets honker's tables when the
  # application first connects. Nothing is connected for that. `schema.rb` leaves the tables out.
  #
  # `config.honker.setup = false` leaves the connections alone, also in `config/initializers`; `config.honker.extension_path`
  # says where the extension is. If it cannot be loaded, or the tables cannot be made, the log says so, once in a process, and
  # the connection is as without honker.
  class Railtie < Rails::Railtie
    TABLES = /\A_honker_/
    # The first ActiveRecord whose structure.sql takes a Regexp for a table's name; schema.rb always does.
    IGNORES_BY_PATTERN = Gem::Version.new("7.1")
    REPORTED_AS = Rails.gem_version < Gem::Version.new("7.1") ? {}.freeze : { source: "job.honker" }.freeze
    private_constant :TABLES, :IGNORES_BY_PATTERN, :REPORTED_AS

    config.honker = ActiveSupport::OrderedOptions.new
    config.honker.setup = true

    initializer "honker.connections", before: "active_record.initialize_database" do |app|
      settings = app.config.honker
      ActiveSupport.on_load(:active_record_sqlite3adapter) { prepend Connections.new(settings) }
    end

    # Before the application's own initializers, which may say otherwise.
    initializer "honker.logger", after: :initialize_logger do
      Honker.logger = Rails.logger
    end

    # Also for a worker that performs a job before anything else has loaded ActiveJob.
    initializer "honker.active_job", before: "active_job.set_configs" do
      ActiveJob::QueueAdapters.autoload(:HonkerAdapter, "active_job/queue_adapters/honker_adapter") if defined?(ActiveJob)
    end

    config.after_initialize do |app|
      ActiveSupport.on_load(:active_record) { Railtie.leave_out_of_the_schema } if app.config.honker.setup
      Honker.database = -> { app.config.honker.database || Railtie.primary } unless Honker.database_path
      Honker.around_job { |_, perform| Railtie.wrap(app.reloader, perform) }
    end

    # @private
    # A job is to Rails what a request is. Rails 7.1 and newer report what is raised in it ({Rails.error}).
    def self.wrap(reloader, perform)
      no_failure = nil
      reloader.wrap(**REPORTED_AS) do
        perform.call
      rescue Snooze, Cancelled => e
        no_failure = e
      end
      raise no_failure if no_failure
    end

    # @private
    # The file of the primary database, if it is one, or its URL.
    def self.primary
      return unless defined?(ActiveRecord::Base)

      config = ActiveRecord::Base.connection_db_config
      case config.adapter
      when "sqlite3" then File.expand_path(config.database.to_s, Rails.root)
      when *Postgres::ADAPTERS then Postgres.url_of(config)
      end
    rescue ActiveRecord::ConnectionNotEstablished
      nil
    end

    # @private
    def self.leave_out_of_the_schema
      format = ActiveRecord.respond_to?(:schema_format) ? ActiveRecord.schema_format : ActiveRecord::Base.schema_format
      return if format == :sql && ActiveRecord.gem_version < IGNORES_BY_PATTERN
      return if ActiveRecord::SchemaDumper.ignore_tables.include?(TABLES)

      ActiveRecord::SchemaDumper.ignore_tables += [TABLES]
    end

    # Rails opens connections when it likes, and closes those of the initialisation: each is given the extension.
    # @private
    class Connections < Module
      def initialize(settings)
        super()
        define_method(:configure_connection) do
          super()
          Railtie.set_up(@raw_connection || @connection, settings) if settings.setup && Railtie.primary?(@config[:database])
        end
        private :configure_connection
      end
    end

    # @private
    def self.set_up(connection, settings)
      Honker.setup(connection, extension_path: settings.extension_path)
    rescue StandardError => e
      return if @warned

      @warned = true
      message = "honker: #{Handler.message(e)} (the connections to the primary database are without its SQL functions)"
      Rails.logger ? Rails.logger.error(message) : Kernel.warn(message)
    end

    # @private
    def self.primary?(file)
      File.expand_path(file.to_s, Rails.root) == primary
    end
  end
end
