# frozen_string_literal: true

module Honker
  # Under Rails: when the application is initialised, and its primary database is SQLite, that connection gets honker's SQL
  # functions, and its file the tables. `config.honker.setup = false` switches that off, `config.honker.extension_path` says
  # where the extension is.
  class Railtie < Rails::Railtie
    config.honker = ActiveSupport::OrderedOptions.new
    config.honker.setup = true

    config.after_initialize do |app|
      next unless app.config.honker.setup && defined?(ActiveRecord::Base)

      connection = ActiveRecord::Base.connection
      Honker.setup(connection, extension_path: app.config.honker.extension_path) if connection.adapter_name == "SQLite"
    end
  end
end
