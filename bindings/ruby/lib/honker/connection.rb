# frozen_string_literal: true

module Honker
  # Enqueueing on a connection that is not honker's: a plain INSERT, which commits and rolls back with the connection's
  # transaction. Nothing native is loaded for it. Nothing here is for users.
  # @private
  module Connection
    # How a class of ActiveRecord gives its connection, from its newest version on.
    LEASE = %i[lease_connection connection itself].freeze
    # Not looked up by ActiveRecord: a transaction that reads before it writes is refused (SQLITE_BUSY) when somebody else has
    # committed in between.
    KEYS = { _honker_live: "id", _honker_job_options: "job_id" }.freeze
    # Inserts rows through a kind of connection; the id of the row.
    INSERTERS = {
      "Sequel::Database" => ->(db, table, row) { db[table].insert(row) },
      "SQLite3::Database" => lambda do |db, table, row|
        db.execute("INSERT INTO #{table} (#{row.keys.join(", ")}) VALUES (#{(["?"] * row.size).join(", ")})", row.values)
        db.last_insert_row_id
      end,
      "ActiveRecord::ConnectionAdapters::AbstractAdapter" => lambda do |db, table, row|
        values = row.values.map { |one| db.quote(one) }.join(", ")
        db.insert("INSERT INTO #{table} (#{row.keys.join(", ")}) VALUES (#{values})", "Honker Enqueue", KEYS.fetch(table))
      end
    }.freeze

    module_function

    def insert(connection, job)
      # A class of ActiveRecord stands for its connection of this thread.
      connection = leased(connection) if connection.is_a?(Class)
      name, insert = INSERTERS.find { |kind, _| Object.const_defined?(kind) && connection.is_a?(Object.const_get(kind)) }
      raise TypeError, "#{connection.class} is no connection of ActiveRecord, Sequel or the sqlite3 gem" if insert.nil?

      metadata = job.options.delete(:metadata)
      row = row(job, **job.options)
      return insert.call(connection, :_honker_live, row) if metadata.nil?

      within(connection, name) do
        insert.call(connection, :_honker_live, row).tap do |id|
          insert.call(connection, :_honker_job_options, { job_id: id, metadata: Codec.encode(metadata) })
        end
      end
    end

    # ActiveRecord's connection of this thread, if it is one to the file of {Honker.database}.
    def models
      return unless defined?(ActiveRecord::Base)

      config = ActiveRecord::Base.connection_db_config
      path = Honker.database_path
      leased(ActiveRecord::Base) if config.adapter == "sqlite3" && path && same?(config.database, path)
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

    def same?(one, other)
      root = defined?(::Rails) && ::Rails.respond_to?(:root) ? ::Rails.root.to_s : Dir.pwd
      File.expand_path(one, root) == File.expand_path(other, root) || (File.exist?(one) && File.identical?(one, other))
    end

    def leased(type)
      type.public_send(LEASE.find { |name| type.respond_to?(name) })
    end

    def row(job, max_attempts: 3, delay: nil, run_at: nil, priority: 0, expires: nil)
      now = Time.now.to_i
      due = delay ? now + Value.delay(delay, "delay") : (run_at && Value.moment(run_at, "run_at")) || now
      queue = Value.utf8(job.queue, "queue")
      raise InvalidError, "queue has a NUL in it" if queue.include?("\0")

      { queue: queue, payload: Value.utf8(Codec.encode(job.payload), "payload"), run_at: due, created_at: now,
        priority: Value.integer(priority, "priority"), max_attempts: Value.integer(max_attempts, "max_attempts"),
        expires_at: expires && (now + Value.delay(expires, "expires")) }
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
  # The worker is woken by the commit, in whichever process. The file needs honker's tables, which {Database.new} and
  # {Honker.setup} make.
  #
  # @param connection [ActiveRecord::Base, Object] a connection, or a class, of ActiveRecord; a Sequel::Database; a
  #   SQLite3::Database
  # @param queue [String]
  # @param options those of {Queue#enqueue}
  # @return [Integer, nil] its id; nil if a hook has held it back
  def self.enqueue_on(connection, queue, payload, **options)
    job = Enqueue.new(queue, payload, options.compact)
    Hooks.around(Hooks.around_enqueue, job) { Connection.insert(connection, job) }
  end
end
