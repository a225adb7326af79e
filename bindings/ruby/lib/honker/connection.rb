# frozen_string_literal: true

module Honker
  # Enqueueing on a connection that is not honker's: a plain INSERT into a SQLite file, which commits and rolls back with the
  # connection's transaction; {Postgres} does the same there. Nothing native is loaded for it. Nothing here is for users.
  # @private
  module Connection
    # How a class of ActiveRecord gives its connection, from its newest version on.
    LEASE = %i[lease_connection connection itself].freeze
    # Not looked up by ActiveRecord: a transaction that reads before it writes is refused (SQLITE_BUSY) when somebody else has
    # committed in between.
    KEYS = { _honker_live: "id", _honker_job_options: "job_id" }.freeze
    # SQL that stands for a value.
    Expression = Struct.new(:sql)
    # Inserts rows through a kind of connection; the id of the row.
    INSERTERS = {
      "Sequel::Database" => lambda do |db, table, row|
        db[table].insert(row.transform_values { |one| one.is_a?(Expression) ? ::Sequel.lit(one.sql) : one })
      end,
      "SQLite3::Database" => lambda do |db, table, row|
        values, given = row.values.map { |one| one.is_a?(Expression) ? one.sql : "?" }, row.values.grep_v(Expression)
        db.execute("INSERT INTO #{table} (#{row.keys.join(", ")}) VALUES (#{values.join(", ")})", given)
        db.last_insert_row_id
      end,
      "ActiveRecord::ConnectionAdapters::AbstractAdapter" => lambda do |db, table, row|
        values = row.values.map { |one| one.is_a?(Expression) ? one.sql : db.quote(one) }.join(", ")
        db.insert("INSERT INTO #{table} (#{row.keys.join(", ")}) VALUES (#{values})", "Honker Enqueue", KEYS.fetch(table))
      end
    }.freeze

    # What a plain INSERT cannot do. The connection needs honker's functions for these.
    FUNCTIONS = %i[unique_key unique_until unique_for_s on_conflict concurrency_key batch member max_run_s].freeze
    # Calls that function. ActiveRecord and Sequel do so alike on a file and on a server.
    CALLERS = Postgres::CALLERS.slice("Sequel::Database", "ActiveRecord::ConnectionAdapters::AbstractAdapter").merge(
      "SQLite3::Database" => ->(db, sql, values) { db.get_first_value(sql, values) }
    ).freeze

    module_function

    # What came of it; nil if a hook has held it back.
    def enqueue(connection, queue:, payload:, **options)
      job = Enqueue.new(queue, payload, options.compact)
      done = nil
      Hooks.around(Hooks.around_enqueue, job) { (done = insert(connection, job)).id }
      done
    end

    def insert(connection, job)
      # A class of ActiveRecord stands for its connection of this thread.
      connection = leased(connection) if connection.is_a?(Class)
      caller = Postgres.caller_of(connection)
      return Postgres.enqueue(caller, connection, job) if caller

      name, insert = INSERTERS.find { |kind, _| Object.const_defined?(kind) && connection.is_a?(Object.const_get(kind)) }
      raise TypeError, "#{connection.class} is no connection of ActiveRecord, Sequel, sqlite3 or pg" if insert.nil?

      return enqueue_with(CALLERS.fetch(name), connection, job) if job.options.any? { |option, _| FUNCTIONS.include?(option) }

      metadata = job.options.delete(:metadata)
      row = row(job, **job.options)
      return Enqueued.new(insert.call(connection, :_honker_live, row), :enqueued) if metadata.nil?

      id = within(connection, name) do
        insert.call(connection, :_honker_live, row).tap do |live|
          insert.call(connection, :_honker_job_options, { job_id: live, metadata: Codec.encode(metadata) })
        end
      end
      Enqueued.new(id, :enqueued)
    end

    def enqueue_with(caller, connection, job)
      values = [Value.utf8(job.queue, "queue"), Value.utf8(Codec.encode(job.payload), "payload"),
                Codec.encode(EnqueueCall.json(**job.options))]
      answer = Codec.decode(caller.call(connection, "SELECT honker_enqueue_with(?, ?, ?)", values))
      Enqueued.new(answer[:id], answer[:status].to_sym)
    end

    # ActiveRecord's connection of this thread, if it is one to the database of {Honker.database}.
    def models
      return unless defined?(ActiveRecord::Base)

      config = ActiveRecord::Base.connection_db_config
      path = Honker.database_path
      leased(ActiveRecord::Base) if path && same?(config, path)
    rescue ActiveRecord::ConnectionNotEstablished
      nil
    end

    # Yields in a transaction of that connection. Whether honker's tables are there is only looked at when they are missed: see
    # {KEYS}.
    def with_models(connection, &block)
      made ||= nil
      connection.transaction(&block)
    rescue ActiveRecord::StatementInvalid => e
      raise if made || !e.message.include?("no such table: _honker_")

      made = Honker.database # which makes the tables
      retry
    end

    def same?(config, path)
      return Postgres::ADAPTERS.include?(config.adapter) && Postgres.same?(path, config) if Postgres.url?(path)

      config.adapter == "sqlite3" && same_file?(config.database, path)
    end

    def same_file?(one, other)
      root = defined?(::Rails) && ::Rails.respond_to?(:root) ? ::Rails.root.to_s : Dir.pwd
      File.expand_path(one, root) == File.expand_path(other, root) || (File.exist?(one) && File.identical?(one, other))
    end

    def leased(type)
      type.public_send(LEASE.find { |name| type.respond_to?(name) })
    end

    def row(job, max_attempts: nil, delay: nil, run_at: nil, priority: 0, expires: nil)
      now = Time.now.to_i
      due = delay ? now + Value.delay(delay, "delay") : (run_at && Value.moment(run_at, "run_at")) || now
      queue = Value.utf8(job.queue, "queue")
      raise InvalidError, "queue has a NUL in it" if queue.include?("\0")

      { queue: queue, payload: Value.utf8(Codec.encode(job.payload), "payload"), run_at: due, created_at: now,
        priority: Value.integer(priority, "priority"),
        max_attempts: max_attempts ? Value.integer(max_attempts, "max_attempts") : attempts_of(queue),
        expires_at: expires && (now + Value.delay(expires, "expires")) }
    end

    # What is set for the queue.
    def attempts_of(queue)
      Expression.new("coalesce((SELECT json_extract(settings, '$.max_attempts') FROM _honker_queues " \
                     "WHERE name = '#{queue.gsub("'", "''")}'), 3)")
    end

    # In the transaction that is open, or one of its own.
    def within(connection, kind, &block)
      return yield if kind == "SQLite3::Database" && connection.transaction_active?

      result = nil
      connection.transaction { result = block.call }
      result
    end
  end

  # Enqueues on a connection of your own, in its transaction if one is open: the job is there if and only if that is committed.
  # The worker is woken by the commit, in whichever process. A file needs honker's tables, which {Database.new} and
  # {Honker.setup} make; Postgres its schema, which `honker migrate` makes.
  #
  # @param connection [ActiveRecord::Base, Object] a connection, or a class, of ActiveRecord; a Sequel::Database; a
  #   SQLite3::Database; a PG::Connection
  # @param queue [String]
  # @param options those of {Queue#enqueue}. In a file those of unique jobs, `concurrency_key`, `batch` and
  #   `max_run_s` are not for a plain INSERT: they call honker's SQL function, which {Honker.setup} gives a connection
  # @return [Integer, nil] its id; nil if a hook has held it back
  def self.enqueue_on(connection, queue, payload, **options)
    Connection.enqueue(connection, queue: queue, payload: payload, **options)&.id
  end
end
