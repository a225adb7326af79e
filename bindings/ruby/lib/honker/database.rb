# frozen_string_literal: true

require "securerandom"

module Honker
  # An open database: the SQLite file, or one on a Postgres server, and the connections to use it. Any number of threads may use
  # it at the same time; writes to a file that meet share a commit, reads run beside them. What is called without a `tx` is
  # committed when it returns; should the process die in the middle of it, it has happened completely or not at all.
  class Database
    include Calls

    DURABILITIES = { normal: Native::DURABILITY_NORMAL, full: Native::DURABILITY_FULL }.freeze
    JOURNALS = { wal: Native::JOURNAL_WAL, delete: Native::JOURNAL_DELETE, truncate: Native::JOURNAL_TRUNCATE,
                 persist: Native::JOURNAL_PERSIST }.freeze
    # SQLite's code for a statement that writes where only reading is allowed. What is wrong with a file has extended ones.
    READONLY = 8
    private_constant :DURABILITIES, :JOURNALS, :READONLY

    # @return [String]
    attr_reader :path
    # @return [Error, nil] what {#initialize} noticed and went on: another copy of SQLite may not share the file here
    attr_reader :warning
    # @private
    attr_reader :handle, :interrupts, :pid, :states, :lock_wait_s, :open_transaction

    # Opens a file, creating it if need be, and brings honker's tables in it up to date.
    #
    # @param path [String, #to_path] the file, or the URL of a Postgres database, `postgres://…`, for which the rest says nothing
    #   but for `busy_timeout_ms:` and `max_readers:`, the number of connections
    # @param library_path [String, nil] where libhonker is; by default HONKER_LIBRARY, the copy in this package, next to the
    #   program, or the system's. The first database that is opened decides for the process
    # @param extension_path [String, nil] another word for library_path
    # @param watcher_backend [String, nil] how commits are noticed: "auto" (also nil), "polling", "kernel" or "shm"
    # @param watcher_poll_interval_ms [Integer, nil] how often the back ends that poll look; 1
    # @param extension_resolver [#resolve, nil] what turns library_path into the path of libhonker
    # @param busy_timeout_ms [Integer] how long a call waits for a lock that somebody else holds
    # @param max_readers [Integer] how many reads may run at once
    # @param durability [Symbol] :normal, where a power cut may take the last commits back, or :full
    # @param journal_mode [Symbol] :wal, :delete, :truncate or :persist
    # @raise [LibraryError] listing what was tried
    def initialize(path, library_path: nil, extension_path: nil, watcher_backend: nil, watcher_poll_interval_ms: nil,
                   extension_resolver: nil, busy_timeout_ms: 5000, max_readers: 8, durability: :normal,
                   journal_mode: :wal)
      raise ArgumentError, "give library_path: or extension_path:, not both" if library_path && extension_path

      library_path ||= extension_path
      @path = File.path(path)
      @options = { library_path: library_path, watcher_backend: watcher_backend, extension_resolver: extension_resolver,
                   watcher_poll_interval_ms: watcher_poll_interval_ms, busy_timeout_ms: busy_timeout_ms,
                   max_readers: max_readers, durability: durability, journal_mode: journal_mode }
      kept, opts = open_opts(watcher_backend, watcher_poll_interval_ms, busy_timeout_ms, max_readers,
                             Value.choice(DURABILITIES, durability, "durability"),
                             Value.choice(JOURNALS, journal_mode, "journal_mode"))
      Library.load(extension_resolver ? extension_resolver.resolve(library_path) : library_path)
      @pid = Process.pid
      @lock = Mutex.new
      @states = {}.compare_by_identity
      @making_dispatcher = Mutex.new
      @consumers = ObjectSpace::WeakMap.new
      @interrupts = 0
      @closed = false
      @handle = open_file(opts)
      @finalized = { handle: @handle }
      ObjectSpace.define_finalizer(self, Database.finalizer(@finalized, @pid))
      kept&.free
    end

    # Opens a database, as {#initialize} does; with a block, yields it, closes it and returns what the block did.
    def self.open(path, **options)
      database = new(path, **options)
      return database unless block_given?

      begin
        yield database
      ensure
        database.close
      end
    end

    # @private
    # The file that is at the path now, opened as this one was. It is not made.
    def again
      Database.existing(@path, **@options)
    end

    # @private
    def self.existing(path, **options)
      raise CannotOpenError, "#{path} does not exist yet" unless Postgres.url?(path.to_s) || File.exist?(path)

      new(path, **options)
    end

    # @private
    def self.finalizer(finalized, pid)
      proc do
        if Process.pid == pid
          Native.honker_close(finalized[:handle], nil)
          finalized[:dispatcher]&.release
        end
      end
    end

    # Closes the file. Calls and waits of other threads end with {ClosedError}, as do later ones, and an open transaction is
    # rolled back. Closing again does nothing; in a child process it does nothing to the parent's.
    def close
      @states.keys.each { |state| state.part(self) } unless @closed # rubocop:disable Style/HashEachMethods -- see below
      synchronize do
        return if @closed

        @closed = true
        # A copy: closing removes them, and finalizers do at any moment.
        @states.keys.each(&:close) # rubocop:disable Style/HashEachMethods
      end
      return unless Process.pid == @pid

      ObjectSpace.undefine_finalizer(self)
      close_file
      nil
    ensure
      @dispatcher&.close
    end

    # @return [Boolean]
    def closed?
      @closed
    end

    # Ends the calls and waits that are running, in whichever thread, with {InterruptedError}.
    def interrupt
      call(:honker_interrupt, @handle)
      synchronize do
        @interrupts += 1
        @dispatcher&.wake(*@states.keys.select(&:busy).map(&:place))
      end
      nil
    end

    # For event loops that wait for all that {#worker}, {#listen} and the like have made: readable if one of them may have
    # something, for a commit as for what time makes due. Then call {#ready}. Do not read from it or close it. Threads that
    # wait in `next` take from it: let them use a database of their own.
    #
    # @return [IO]
    def to_io
      dispatcher.io
    end

    # What has something, or was woken, among all that waits. Call `next(timeout: 0)` of each until that answers nil (false).
    #
    # @return [Array<Waiter>]
    def ready
      dispatcher.look { |*failure| fail_with(*failure) }
      dispatcher.signalled.filter_map { |place| @consumers[place.token] }
    end

    # Yields a {Transaction}: commits when the block returns (or `next`s), with its value. Anything else that leaves it rolls
    # back: an exception, `break`, `return`, `throw`, Timeout, and {Transaction#rollback!}, which makes this return nil.
    #
    # Waits for a transaction of another thread or process, for the busy timeout. The same thread's would wait for itself: that
    # is a {MisuseError} at once, as is any other writing call without the `tx` while it is open. Fibers of a scheduler wait for
    # each other's.
    #
    # A block in a Fiber that is never resumed, or in an Enumerator whose `next` is never called again, is not left. Its
    # transaction is rolled back when the Fiber is collected, or when its thread has ended and somebody waits for it.
    def transaction
      result = nil
      owned(:honker_tx_begin, :honker_tx_free, @handle) do |handle, _|
        @open_transaction = open = OpenTransaction.new(handle, @pid)
        tx = Transaction.new(self, open)
        catch(tx) do
          result = yield tx
          call(:honker_tx_commit, handle)
          return result
        end
      ensure
        open&.over!
        ObjectSpace.undefine_finalizer(tx) if tx
      end
      nil
    end

    # The rows of one statement that only reads, each an Array of its columns. They are what is committed; honker's SQL
    # functions are not there.
    #
    # @raise [ReadOnlyError] if it writes: that is for {Transaction#execute}
    # @return [Array<Array>]
    def query(sql, params = [])
      rows(:honker_query, @handle, sql, params)
    rescue ReadOnlyError => e
      raise unless e.sqlite_extended_code == READONLY

      raise e.class.new("query only reads; write in a transaction: db.transaction { |tx| tx.execute(...) }",
                        sqlite_code: e.sqlite_code, sqlite_extended_code: e.sqlite_extended_code)
    end

    # The first row of one statement that only reads; nil if there is none.
    def query_row(sql, params = [])
      query(sql, params).first
    end

    # @param visibility_timeout_s [Integer] for how many seconds a claimed job is its worker's
    # @param max_attempts [Integer, nil] how often a job of this queue's `enqueue` may be claimed, at least once; nil for what
    #   {Queue#configure} has set in the file, or else 3
    # @return [Queue]
    def queue(name, visibility_timeout_s: 300, max_attempts: nil)
      Queue.new(self, name, visibility_timeout_s, max_attempts)
    end

    # Adds jobs to any queues, all or none, in one commit.
    #
    #     db.enqueue_many([{ queue: "emails", payload: { to: "alice" } }, { queue: "reports", payload: 7, delay: 60 }])
    #
    # @param jobs [Array<Hash>] each with `queue:`, a {Queue} or the name of one, `payload:`, and the options of {Queue#enqueue}
    # @return [Array<Enqueued, nil>] in that order, each with its `id` and what came of it; nil for a job that a hook has held
    #   back. Hooks are called before all of them
    def enqueue_many(jobs, tx: nil)
      jobs = jobs.map { |job| Enqueue.of(self, **job) }
      return EnqueueCall.many(self, jobs, Transaction.handle(tx)) if Hooks.around_enqueue.empty?

      let = jobs.map { |job| Hooks.around(Hooks.around_enqueue, job) { true } }
      done = EnqueueCall.many(self, jobs.select.with_index { |_, i| let[i] }, Transaction.handle(tx))
      let.map { |is_let| done.shift if is_let }
    end

    # Every queue that has settings or a job, by name, each with the keys queue and those of {Queue#settings}.
    #
    # @return [Array<Payload>]
    def queues(tx: nil)
      json(:honker_queues, @handle, Transaction.handle(tx))
    end

    # Jobs that are waited for together. With a block it is yielded, and sealed when the block returns; if the block is left
    # otherwise it stays open, and never finishes, unless it was made in a `tx` that is rolled back. Without one it is open,
    # until {Batch#seal}. With an id it is the one that was made before; a callback's job has that in its metadata (`batch_id`).
    #
    #     db.batch(on_success: { queue: "reports", payload: { month: 7 } }) do |batch|
    #       pages.each { |page| queue.enqueue({ page: page }, batch: batch) }
    #     end
    #
    # @param id [Integer, String, nil]
    # @param on_finished [Hash, nil] what is enqueued when the last of its jobs has ended, in the same commit: as one of
    #   {#enqueue_many}. Hooks are not called
    # @param on_success [Hash, nil] the same if all of them are done, and none is dead or cancelled
    # @param keep_s [Integer, nil] for how many seconds it can be looked at after that; nil for a day
    # @return [Batch]
    def batch(id = nil, tx: nil, **options)
      unless id.nil?
        raise ArgumentError, "options are for a new batch: #{options.keys.join(", ")}" unless options.empty?

        return Batch.new(self, Value.positive(Integer(id), "id"))
      end

      batch = Batch.create(self, tx, **options)
      if block_given?
        yield batch
        batch.seal(tx: tx)
      end
      batch
    end

    # Jobs of all kinds, to look at and to act on: those that fulfil all conditions.
    #
    # @param conditions `queue`; `state`, one or an Array of `:due`, `:delayed`, `:processing`, `:blocked` (by its concurrency
    #   key), `:dead` and `:done`; `min_id` and `max_id`; `worker_id`; `unique_key`; `batch`; `metadata`, a Hash of texts, all of
    #   which the job has; `error`, a part of its text; `created_from`, `created_to`, `ended_from` and `ended_to`, inclusive; and
    #   `order`, `:newest` (the default) or `:oldest` first
    # @return [Jobs]
    def jobs(tx: nil, **conditions)
      Jobs.new(self, conditions, tx)
    end

    # The dead of a queue, or of all, by what they died of, the largest group first, each with the keys error (# stands for a
    # number or an id), count, and newest, the one that died last, as {Queue#dead} has it. It reads them all.
    #
    # @return [Array<Payload>]
    def dead_groups(queue = nil, tx: nil)
      queue = queue.name if queue.is_a?(Queue)
      groups = json(:honker_dead_groups, @handle, Transaction.handle(tx), *Value.optional_text(queue, "queue"))
      groups.each { |group| Codec.row(group[:newest]) }
    end

    # What is known of each queue: its counts, histograms and depth, all in seconds. Processes add what they have counted to the
    # file every ten seconds, and when they close it. It reads the indexes of all jobs.
    #
    # @return [Payload] with the key queues, an Array, each with the keys queue, counts, wait, run and depth
    def metrics(tx: nil)
      json(:honker_metrics, @handle, Transaction.handle(tx))
    end

    # @return [Stream]
    def stream(topic)
      Stream.new(self, topic)
    end

    # @return [Scheduler]
    def scheduler
      @scheduler ||= Scheduler.new(self)
    end

    # @param delivery [#call] is given the payload, or the payload and the {ClaimedJob} if its arity is not 1; raises if it failed
    # @return [Outbox]
    def outbox(name, delivery = nil, visibility_timeout_s: 60, max_attempts: 5, base_backoff_s: 5, &block)
      Outbox.new(self, name, delivery || block, visibility_timeout_s, max_attempts, base_backoff_s)
    end

    # What handles jobs, or waits for them. To be closed.
    #
    # @param queues [Queue, String, Array, Hash] one or several, or each with its weight: how often it is asked first, compared
    #   with the others; or with a Hash of `weight: 1` and `max_in_hand:`, how many of its jobs {Worker#run} has in hand at most.
    #   With all weights 0 they are asked in the order given
    # @param worker [String] its name, which another worker may not have at the same time
    # @param options `concurrency: 1`, how many jobs {Worker#run} has in hand; `visibility_timeout_s: 300`, for how long a claim
    #   outlives its worker; `max_run_s: nil`, after how many seconds a job is retried and its handler cancelled; `retry_base_s:
    #   15`, `retry_factor: 2.0`, `retry_max_s: 3600`, `retry_jitter: 0.1`, when a job that has failed is due again, unless its
    #   queue says otherwise ({Queue#configure}); `logger:`, a Logger that is told of failures
    # @return [Worker]
    def worker(queues, worker = Worker.some_name, **options)
      Worker.new(self, queues, worker, **options)
    end

    # Something to wait for commits with, by anyone in any process. To be closed.
    #
    # @return [Updates]
    def updates
      Updates.new(self)
    end

    # Delivers what is sent to a channel after this returned. With a block for each notification, until that is left; otherwise
    # to be closed.
    #
    # @return [Listener]
    def listen(channel, &block)
      Listener.new(self, channel).given_to(&block)
    end

    # Sends a notification to whoever listens when it is committed.
    #
    # @return [Integer] its id
    def notify(channel, payload, tx: nil)
      number(:honker_notify, @handle, Transaction.handle(tx), *Value.text(channel, "channel"),
             *Value.text(Codec.encode(payload), "payload"))
    end

    # The same as `notify(channel, payload, tx: tx)`.
    def notify_tx(tx, channel, payload)
      notify(channel, payload, tx: Transaction.required(tx))
    end

    # Deletes the notifications that are older than `older_than_s` seconds, and those that are not among the `max_keep` newest.
    #
    # @return [Integer] how many that were
    def prune_notifications(older_than_s: nil, max_keep: nil)
      number(:honker_notifications_prune, @handle, 0, Value.optional_integer(older_than_s, "older_than_s"),
             Value.optional_integer(max_keep, "max_keep"))
    end

    # For how many seconds notifications are kept, in every process from now on. Workers and schedulers remove the others within a
    # minute.
    #
    # @param keep_s [Integer, nil] nil: until somebody prunes them
    def configure_notifications(keep_s:, tx: nil)
      call(:honker_notifications_configure, @handle, Transaction.handle(tx),
           *Value.text(Codec.options({ keep_s: keep_s }), "options"))
      nil
    end

    # Takes a lock for `ttl_s` seconds. With a block, yields it and releases it afterwards, if it was free.
    #
    # @param owner [String] by default a random name
    # @return [Lock, nil] nil if somebody else has it; with a block, what that returned
    def try_lock(name, owner: SecureRandom.hex(16), ttl_s: 60)
      name = Value.utf8(name, "name")
      owner = Value.utf8(owner, "owner")
      ttl_s = Value.integer(ttl_s, "ttl_s")
      return unless call?(:honker_lock_acquire, @handle, 0, *Value.text(name, "name"), *Value.text(owner, "owner"), ttl_s)

      lock = Lock.new(self, name, owner, ttl_s)
      return lock unless block_given?

      begin
        yield lock
      ensure
        lock.release unless lock.released?
      end
    end

    # Counts one use of `name` if there were fewer than `limit` in the current window of `per` seconds.
    #
    # @return [Boolean] false, and nothing counted, if there were not
    def try_rate_limit(name, limit:, per:)
      call?(:honker_rate_limit_try, @handle, 0, *Value.text(name, "name"), Value.integer(limit, "limit"),
            Value.integer(per, "per"))
    end

    # Deletes the counts of windows that began more than `older_than_s` seconds ago.
    #
    # @return [Integer] how many that were
    def sweep_rate_limits(older_than_s: 3600)
      number(:honker_rate_limit_sweep, @handle, 0, Value.integer(older_than_s, "older_than_s"))
    end

    # Saves the result of a job, replacing an earlier one: a text, JSON by convention. It expires after `ttl_s` seconds, or
    # never if that is 0.
    def save_result(id, text, ttl_s: 0, tx: nil)
      call(:honker_result_save, @handle, Transaction.handle(tx), Value.integer(id, "id"), *Value.text(text, "text"),
           Value.integer(ttl_s, "ttl_s"))
      nil
    end

    # @return [String, nil] nil if there is none, yet or any more
    def get_result(id)
      owned_text(:honker_result_get, @handle, 0, Value.integer(id, "id"))
    end

    # Waits for the result of a job. One that ends without a result never has one.
    #
    # @param timeout [Numeric, nil] seconds; nil without end
    # @return [String]
    # @raise [TimeoutError] a Timeout::Error
    def wait_result(id, timeout: nil)
      timeout = Value.timeout(timeout)
      # The first look needs no waiter, which costs milliseconds if nobody else in this process waits.
      result = get_result(id)
      return result if result

      waiter = ResultWaiter.new(self, id)
      waiter.next(timeout) || raise(TimeoutError, "wait_result(#{id}) timed out")
    ensure
      waiter&.close
    end

    # Deletes expired results.
    #
    # @return [Integer] how many that were
    def sweep_results
      number(:honker_result_sweep, @handle, 0)
    end

    # What is known of the file and its use: a Hash with the watcher's back end and state, warnings, connections, versions.
    #
    # @return [Payload]
    def status
      json(:honker_status, @handle)
    end

    def inspect
      "#<#{self.class} #{Postgres.shown(@path)}#{" (closed)" if @closed}>"
    end

    # @private
    def synchronize(&block)
      @lock.synchronize(&block)
    end

    # @private
    def check_pid
      return if Process.pid == @pid

      raise ForkedError, "#{@path} was opened before this process was forked: open it again"
    end

    # @private
    def check_open
      check_pid
      raise closed_error if @closed
    end

    # @private
    # The native waiter is made for the first consumer.
    def dispatcher
      check_open
      @dispatcher || @making_dispatcher.synchronize do
        @dispatcher ||= begin
          waiter = number(:honker_waiter_new, @handle)
          @finalized[:dispatcher] = Dispatcher.new(waiter, number(:honker_waiter_fd, waiter))
        rescue StandardError
          Native.honker_waiter_free(waiter) if waiter
          raise
        end
      end
    end

    # @private
    # {#ready} gives it, while somebody else has it.
    def register(token, consumer)
      @consumers[token] = consumer
    end

    # @private
    def closed_error
      ClosedError.new("the database is closed: #{@path}")
    end

    # @private
    # Whether it is of no use any more, and {Honker.database} opens another.
    def stale?
      @closed || @replaced || Process.pid != @pid
    end

    # @private
    # The library can only say that the handle is not valid; why is known here.
    def fail_with(status, error)
      @replaced = true if status == WatcherError::STATUS
      raise(status == Native::MISUSE && @closed ? closed_error : error_of(status, error))
    end

    # @private
    # The JSON that a call gives, decoded, with its payloads.
    def json(function, *args)
      text = owned_text(function, *args)
      value = text && Codec.decode(text)
      value.is_a?(Array) ? value.map { |row| Codec.row(row) } : value && Codec.row(value)
    end

    # @private
    def rows(function, handle, sql, params)
      memory, count, kept = Value.parameters(params)
      owned(function, :honker_rows_free, handle, *Value.text(sql, "sql"), memory, count) { |rows, _| read_rows(rows) }
    ensure
      kept&.clear # until here the library read it
    end

    private

    def read_rows(rows)
      size = FFI::MemoryPointer.new(:uint64, 2)
      call(:honker_rows_size, rows, size, size + 8)
      height, width = size.read_array_of_uint64(2)
      view = FFI::MemoryPointer.new(Native::VALUE.size)
      Array.new(height) do |row|
        Array.new(width) do |column|
          call(:honker_rows_get, rows, row, column, view)
          type, _, *value = Native::VALUE.read(view)
          Value.column(type, *value)
        end
      end
    end

    def open_file(opts)
      out = FFI::MemoryPointer.new(:uint64)
      call(:honker_open, *Value.text(@path, "path"), opts, out) { |warning| @warning = UnsupportedError.new(warning.message) }
      opened = out.read_uint64
    ensure
      # Timeout and Thread#kill strike when it has been opened.
      Native.honker_close(out.read_uint64, nil) unless opened || out.read_uint64.zero?
    end

    # Not with {#call}: the handle is gone, whatever becomes of it.
    def close_file
      error = FFI::MemoryPointer.new(:uint64)
      status = Native.honker_close(@handle, error)
      raise error_of(status, error.read_uint64) if status.negative?
    ensure
      Calls.free_error(error)
    end

    def open_opts(backend, interval, busy_timeout_ms, max_readers, durability, journal)
      unless backend.nil? || backend.is_a?(String)
        raise ArgumentError, "watcher_backend has to be a String or nil, not #{backend.class}"
      end
      unless interval.nil? || (interval.is_a?(Integer) && interval.positive?)
        raise ArgumentError, "watcher_poll_interval_ms must be positive, an Integer: #{interval.inspect}"
      end

      busy_timeout_ms = Value.integer(busy_timeout_ms, "busy_timeout_ms")
      native_ms = LockWait.native_ms(busy_timeout_ms, journal, @path)
      @lock_wait_s = (busy_timeout_ms - native_ms) / 1000.0
      max_readers = Value.integer(max_readers, "max_readers")
      raise ArgumentError, "max_readers has to be from 1 to 1000: #{max_readers}" unless (1..1000).cover?(max_readers)

      kept, place = Value.bytes(backend, "watcher_backend")
      opts = Native::OPEN_OPTS.pack(native_ms, max_readers, durability, journal,
                                    10_000, Native::NESTING_FAIL, 0, *place,
                                    Value.integer(interval || 1, "watcher_poll_interval_ms"))
      [kept, opts]
    end
  end

  # Waits for the result of a job.
  # @private
  class ResultWaiter < Waiter
    def initialize(database, id)
      super(database, :honker_result_wait_free) { |*at| [:honker_result_wait_new, database.handle, *at, id] }
    end

    def next(timeout)
      await(timeout) do
        @database.owned(:honker_result_wait_next, :honker_text_free, consumer, 0) do |text, status|
          @database.read_text(text) if found?(status) && text
        end
      end
    end
  end
  private_constant :ResultWaiter
end
