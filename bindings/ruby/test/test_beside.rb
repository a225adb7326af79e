# frozen_string_literal: true

require_relative "helper"
require "sqlite3"

# Beside the sqlite3 gem and ActiveRecord, which bring another copy of SQLite, on the same file in the same process, while
# other threads and another process write.
#
# busy_timeout of the sqlite3 gem waits without letting other threads of Ruby run, also the one whose transaction it waits for.
# A handler that sleeps lets them.
class TestBeside < HonkerTest
  ROUNDS = 150

  def with_active_record
    require "active_record"
    Class.new(ActiveRecord::Base) do
      self.abstract_class = true
      def self.name
        "HonkerTestBase"
      end
      establish_connection(adapter: "sqlite3", database: yield, pool: 4)
    end
  end

  def test_nothing_is_lost_and_the_file_is_in_order
    big = open_database(busy_timeout_ms: 20_000)
    big.transaction { |tx| tx.execute("CREATE TABLE notes (id INTEGER PRIMARY KEY, who TEXT, n INTEGER)") }
    base = with_active_record { @path }
    other = spawn_process
    threads = [
      *2.times.map { |i| Thread.new { ROUNDS.times { |n| big.queue("q").enqueue("h#{i}-#{n}") } } },
      Thread.new { ROUNDS.times { |n| with_transaction(big, n) } },
      Thread.new { with_sqlite3 },
      *2.times.map { |i| Thread.new { with_model(base, i) } }
    ]
    done = Thread.new { work_off(big, (ROUNDS * 3) + 150) }
    threads.each(&:join)
    Process.wait(other)
    assert $?.success? # rubocop:disable Style/SpecialGlobalVars
    got = done.join(60)&.value || flunk("jobs are lost")
    assert_equal got.uniq.size, got.size
    assert_equal (ROUNDS * 3) + 150, got.size
    counts = big.query("SELECT who, count(*) FROM notes GROUP BY 1 ORDER BY 1").to_h
    assert_equal({ "ar0" => ROUNDS, "ar1" => ROUNDS, "gem" => ROUNDS, "process" => 150, "tx" => ROUNDS }, counts)
    assert_equal ["ok"], big.query_row("PRAGMA integrity_check")
    assert_equal 0, big.queue("q").stats[:pending] + big.queue("q").stats[:claimed]
  ensure
    base&.remove_connection
  end

  private

  def spawn_process
    program = <<~'RUBY'
      require "honker"
      db = Honker::Database.new("app.db", busy_timeout_ms: 20_000)
      150.times do |n|
        db.transaction do |tx|
          tx.execute("INSERT INTO notes (who, n) VALUES ('process', ?)", [n])
          db.queue("q").enqueue("p-#{n}", tx: tx)
        end
      end
      db.close
    RUBY
    Process.spawn(RbConfig.ruby, "-I", File.join(PACKAGE, "lib"), "-e", program, chdir: @dir)
  end

  def with_transaction(big, n)
    big.transaction do |tx|
      tx.execute("INSERT INTO notes (who, n) VALUES ('tx', ?)", [n])
      big.queue("q").enqueue("t-#{n}", tx: tx)
    end
  end

  # Opening and closing is what would drop the locks of the other copy.
  def with_sqlite3
    ROUNDS.times do |n|
      conn = SQLite3::Database.new(@path)
      conn.busy_handler { sleep 0.001 }
      conn.execute("INSERT INTO notes (who, n) VALUES ('gem', ?)", [n])
      conn.close
    end
  end

  def with_model(base, i)
    base.connection_pool.with_connection do |conn|
      conn.raw_connection.busy_handler { sleep 0.001 }
      ROUNDS.times { |n| conn.execute("INSERT INTO notes (who, n) VALUES ('ar#{i}', #{n})") }
    end
  end

  def work_off(big, count)
    got = []
    big.queue("q").claim("w", timeout: 30) do |job|
      got << job.payload if job.ack
      break if got.size == count
    end
    got
  end
end
