# frozen_string_literal: true

require "honker"
require "tmpdir"

module Honker
  # Helps to test what enqueues jobs and what performs them: with a database of the test's own, in the test's thread, and with a
  # clock that the test moves. For Minitest, and with `start_honker` and `stop_honker` around each test for others:
  #
  #     class SignUpTest < Minitest::Test
  #       include Honker::Testing
  #
  #       def test_a_reminder_is_sent_after_a_day
  #         SignUp.call("alice")
  #         assert_enqueued SendReminder, to: "alice"
  #         advance 86_400
  #         assert_equal 1, run_due
  #       end
  #     end
  module Testing
    # What an assertion raises where there is no `flunk`.
    class Failure < RuntimeError
    end

    # The columns of the tables, and those of them that are moments.
    COLUMNS = <<~SQL
      SELECT t.name, c.name FROM sqlite_schema t JOIN pragma_table_info(t.name) c
      WHERE t.type = 'table' AND t.name GLOB '_honker_*'
    SQL
    SERVER_COLUMNS = <<~SQL
      SELECT c.table_name::text, c.column_name::text
      FROM information_schema.columns c JOIN information_schema.tables t USING (table_schema, table_name)
      WHERE table_schema = 'honker' AND t.table_type = 'BASE TABLE'
    SQL
    MOMENT = /_at\z|\A(?:window_start|until)\z/
    private_constant :COLUMNS, :SERVER_COLUMNS, :MOMENT

    # @return [Database] this test's, which is {Honker.database} meanwhile
    attr_reader :honker_db

    def before_setup
      super
      start_honker
    end

    def after_teardown
      stop_honker
      super
    end

    # Opens a database in a folder of its own.
    def start_honker
      @honker_dir = Dir.mktmpdir("honker-test")
      @honker_db = Database.new(File.join(@honker_dir, "test.db"))
      Honker.database = @honker_db
    end

    # Closes and removes it.
    def stop_honker
      Honker.database = nil
      @honker_db&.close
    ensure
      FileUtils.remove_entry(@honker_dir) if @honker_dir
    end

    # Performs the jobs that are due, one after the other, in this thread, until there is none: with the block, or as their class
    # says. Jobs are settled as a worker does. What they enqueue is performed as well, if it is due.
    #
    # @param queues [Array<String>] all, if none is named
    # @param raise_errors [Boolean] whether an error that is no {Outcome} is raised, after its job was settled
    # @return [Integer] how many that were
    def run_due(*queues, raise_errors: true, &block)
      performed = 0
      while (job = next_due(queues))
        performed += 1
        error = Handler.error { Hooks.around(Hooks.around_job, job) { (block || Job.method(:perform)).call(job) } }
        Settlement.of(job, error, nil).apply
        raise error if error && raise_errors && !error.is_a?(Outcome)
      end
      performed
    end

    # The jobs that were enqueued and are not done, in that order, each as {Queue#get_job} gives it.
    #
    # @param where [String, Class] a queue's name, or a class of jobs
    # @return [Array<Payload>]
    def enqueued(where)
      queue = where.is_a?(Class) && where.task_name ? nil : queue_of(where)
      live = Postgres.table(honker_db, "_honker_live")
      ids = honker_db.query("SELECT id FROM #{live} WHERE queue = coalesce(?, queue) ORDER BY id", [queue])
      jobs = ids.filter_map { |(id)| honker_db.queue("any").get_job(id) }
      where.is_a?(Class) ? jobs.select { |job| arguments(where, job) } : jobs
    end

    # Fails unless there is such a job: of a class, with these arguments; or in a queue, with this payload. Of Hashes, those keys
    # that are given have to have what is given.
    #
    #     assert_enqueued SendEmail, to: "alice"
    #     assert_enqueued "emails", to: "alice"
    #     assert_enqueued "numbers", 5
    #
    # @return [Payload] the first one, as {Queue#get_job} gives it
    def assert_enqueued(where, *args, **kwargs)
      jobs = enqueued(where)
      jobs.find { |job| matches?(where, job, args, kwargs) } ||
        honker_failure("no job of #{where} has #{[*args, kwargs].inspect}; there are #{jobs.map { |job| job[:payload] }.inspect}")
    end

    # Fails if there is a job that {#assert_enqueued} would find.
    def refute_enqueued(where, *args, **kwargs)
      job = enqueued(where).find { |one| matches?(where, one, args, kwargs) }
      honker_failure("there is job #{job[:id]} of #{where}: #{job[:payload].inspect}") if job
    end

    # Moves the clock: everything in the file becomes older by so many seconds, as if that time had passed. What was to be due by
    # then is due; claims, locks and results expire. Jobs that are enqueued afterwards have the real time.
    def advance(seconds)
      seconds = Value.integer(seconds, "seconds")
      honker_db.transaction do |tx|
        moments = tx.query(Postgres.url?(honker_db.path) ? SERVER_COLUMNS : COLUMNS).select { |_, name| name.match?(MOMENT) }
        moments.group_by(&:first).each do |table, names|
          changes = names.map { |_, name| "#{name} = #{name} - ?1" }.join(", ")
          tx.execute("UPDATE #{Postgres.table(honker_db, table)} SET #{changes}", [seconds])
        end
      end
      nil
    end

    private

    def next_due(queues)
      live = Postgres.table(honker_db, "_honker_live")
      queues = honker_db.query("SELECT DISTINCT queue FROM #{live} ORDER BY queue").flatten if queues.empty?
      queues.lazy.filter_map { |name| honker_db.queue(name).claim_one("test") }.first
    end

    def matches?(where, job, args, kwargs)
      payload = job[:payload]
      return arguments(where, job).zip([args, kwargs]).all? { |pair| has?(*pair) } if where.is_a?(Class)

      (args.empty? || has?(payload, args.first)) && (kwargs.empty? || has?(payload, kwargs))
    end

    def queue_of(where)
      where.is_a?(Class) ? where.queue : where
    end

    # With which a job is performed; nil if that is not by this class.
    def arguments(type, job)
      name, *task = Job.task(job[:payload])
      return (task if name == type.task_name) if type.task_name

      Job.plain(job[:payload]) unless name && Job.find(name)
    end

    def has?(given, wanted)
      wanted = Codec.decode(Codec.encode(wanted))
      return given == wanted unless wanted.is_a?(Hash)

      given.is_a?(Hash) && wanted.all? { |key, value| given.key?(key) && has?(given[key], value) }
    end

    def honker_failure(text)
      respond_to?(:flunk) ? flunk(text) : raise(Failure, text)
    end
  end
end
