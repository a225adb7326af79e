# frozen_string_literal: true

require "json"
require "uri"

module Honker
  # Postgres: the URLs that stand where the name of a file does, and calls of honker's SQL functions on connections that are not
  # honker's, in their transactions. Nothing here is for users.
  # @private
  module Postgres
    URL = %r{\Apostgres(?:ql)?://}
    # Before a password, the password, and what is behind it but the parameters, where one may be as well.
    PARTS = %r{\A(postgres(?:ql)?://)(?:([^:/?@]*)[^?]*@)?([^?]*)}
    # What of libpq's honker understands; an application's configuration may have more.
    PARAMETERS = %i[application_name channel_binding connect_timeout hostaddr keepalives keepalives_count keepalives_idle
                    keepalives_interval options passfile sslmode sslrootcert target_session_attrs tcp_user_timeout].freeze
    # What a configuration of ActiveRecord's calls it.
    ADAPTERS = %w[postgresql postgis].freeze
    # SQLSTATEs of honker's own. All others are Postgres's, and their errors those of the driver.
    STATES = { "HK001" => InvalidError, "HK002" => MisuseError, "HK003" => TooOldError, "HK004" => TooBigError,
               "HK005" => MovedError }.freeze
    SIMPLE = %i[run_at delay_s priority max_attempts expires_s].freeze
    ENQUEUE = "SELECT honker.honker_enqueue(?::text, ?::text, ?::int8, ?::int8, ?::int8, ?::int8, ?::int8)"
    ENQUEUE_WITH = "SELECT honker.honker_enqueue_with(?::text, ?::text, ?::text)"
    # Runs a statement on a kind of connection; the only value of its only row. Not as a query, whose answer might come from a
    # cache.
    CALLERS = {
      # As any SELECT, Sequel would send it to a :read_only server if there is one.
      "Sequel::Database" => ->(db, sql, values) { db.fetch(sql, *values).server(:default).all.first.values.first },
      "PG::Connection" => lambda do |db, sql, values|
        n = 0
        db.exec_params(sql.gsub("?") { "$#{n += 1}" }, values).getvalue(0, 0)
      end,
      "ActiveRecord::ConnectionAdapters::AbstractAdapter" => lambda do |db, sql, values|
        values = values.dup
        db.exec_query(sql.gsub("?") { db.quote(values.shift) }, "Honker Enqueue").rows.first.first
      end
    }.freeze

    module_function

    def url?(name)
      URL.match?(name)
    end

    # For texts that people read: without a password.
    def shown(name)
      return name unless url?(name)

      scheme, user, rest = PARTS.match(name).captures
      "#{scheme}#{"#{user}@" unless user.to_s.empty?}#{rest}"
    end

    # A table of honker's, as this package's SQL names it.
    def table(database, name)
      url?(database.path) ? "honker.#{name}" : name
    end

    # What calls functions there; nil if it is no connection to Postgres.
    def caller_of(connection)
      name, caller = CALLERS.find { |kind, _| Object.const_defined?(kind) && connection.is_a?(Object.const_get(kind)) }
      is_server = case name
                  when "Sequel::Database" then connection.database_type == :postgres
                  when "PG::Connection" then true
                  when nil then false
                  else adapter?(connection)
                  end
      caller if is_server
    end

    # Whether it is ActiveRecord's adapter, or one that is built on it, as that of PostGIS is. It need not be loaded.
    def adapter?(connection)
      connection.class.ancestors.any? { |kind| kind.name == "ActiveRecord::ConnectionAdapters::PostgreSQLAdapter" }
    end

    def enqueue(caller, connection, job)
      queue = Value.utf8(job.queue, "queue")
      payload = Value.utf8(Codec.encode(job.payload), "payload")
      options = options(**job.options)
      if (options.keys - SIMPLE).empty?
        values = { priority: 0, **options }.values_at(*SIMPLE)
        return Enqueued.new(Integer(call(caller, connection, ENQUEUE, [queue, payload, *values])), :enqueued)
      end
      answer = Codec.decode(call(caller, connection, ENQUEUE_WITH, [queue, payload, Codec.encode(options)]))
      Enqueued.new(answer[:id], answer[:status].to_sym)
    end

    def options(delay: nil, expires: nil, **others)
      delay &&= Value.delay(delay, "delay")
      expires &&= Value.delay(expires, "expires")
      EnqueueCall.json(**{ delay: delay, expires: expires, **others }.compact)
    end

    def call(caller, connection, sql, values)
      caller.call(connection, sql, values)
    rescue StandardError => e
      typed = typed(e)
      raise typed || e
    end

    # honker's own error, if the server has answered with one. The driver's is the cause of ActiveRecord's and of Sequel's.
    def typed(error)
      while error
        result = error.respond_to?(:result) && error.result
        if result.respond_to?(:error_field)
          type = STATES[result.error_field(PG::PG_DIAG_SQLSTATE)]
          return type&.new(result.error_field(PG::PG_DIAG_MESSAGE_PRIMARY))
        end
        error = error.cause
      end
    end

    # The database of a configuration of ActiveRecord's.
    def url_of(config)
      hash = config.configuration_hash
      given = { host: hash[:host], port: hash[:port], user: hash[:username] || hash[:user], password: hash[:password],
                **hash.slice(*PARAMETERS) }.reject { |_, value| value.to_s.empty? }
      "postgresql:///#{encode(config.database)}?#{given.map { |name, value| "#{name}=#{encode(value)}" }.join("&")}"
    end

    # Whether a URL names the database of such a configuration.
    def same?(url, config)
      place(url) == place(url_of(config))
    rescue URI::InvalidURIError
      false
    end

    # The host, the port and the database.
    def place(url)
      base, query = url.split("?", 2)
      base = base.sub(URL, "").sub(/\A.*@/, "")
      authority, database = base.split("/", 2)
      host, port = authority.match(/\A(.*?)(?::(\d+))?\z/).captures
      given = URI.decode_www_form(query.to_s).to_h
      host = given["host"] || URI.decode_www_form_component(host)
      database = given["dbname"] || URI.decode_www_form_component(database.to_s)
      [host.empty? ? nil : host, (given["port"] || port || 5432).to_i, database]
    end

    def encode(value)
      URI.encode_www_form_component(value.to_s).gsub("+", "%20")
    end
  end
  private_constant :Postgres
end
