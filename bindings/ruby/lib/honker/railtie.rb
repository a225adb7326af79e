# frozen_string_literal: true

module Honker
  # Under Rails: if the application's primary database is SQLite, its connections have honker's SQL functions, and its file
  # gets the tables when the application is initialised. `config.honker.setup = false` switches that off,
  # `config.honker.extension_path` says where the extension is.
  class Railtie < Rails::Railtie
    config.honker = ActiveSupport::OrderedOptions.new
    config.honker.setup = true

    initializer "honker.connections", before: "active_record.initialize_database" do |app|
      settings = app.config.honker
      if settings.setup
        ActiveSupport.on_load(:active_record_sqlite3adapter) { prepend Connections.new(settings) }
      end
    end

    config.after_initialize do |app|
      next unless app.config.honker.setup && defined?(ActiveRecord::Base)

      connection = ActiveRecord::Base.connection
      Honker.bootstrap(connection) if connection.adapter_name == "SQLite"
    end

    # Rails opens connections when it likes, and closes those of the initialisation: each is given the extension.
    # @private
    class Connections < Module
      def initialize(settings)
        super()
        define_method(:configure_connection) do
          super()
          raw = @raw_connection || @connection
          Honker.load_extension(raw, extension_path: settings.extension_path) if Railtie.primary?(@config[:database])
        end
      end
    end

    # @private
    def self.primary?(file)
      primary = ActiveRecord::Base.connection_db_config.database
      File.expand_path(file.to_s, Rails.root) == File.expand_path(primary.to_s, Rails.root)
    end
  end
end
