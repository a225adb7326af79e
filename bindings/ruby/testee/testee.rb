# frozen_string_literal: true

# The testee of the Ruby package: does with it what the conformance suite asks for (conformance/PROTOCOL.md).
#
# Threads: main reads the requests and gives each to the thread of its lane. A transaction is a block, in which its lane's
# requests are done until it ends. `reset` and `bye` are done by main, when the lanes have ended.

require "honker"
require "json"
require "sqlite3"
require_relative "request"
require_relative "operations"

# The handles, the lanes, and the conversation.
class Testee
  attr_reader :handles, :jobs

  def initialize
    @handles = {}
    @jobs = {}
    @lanes = {}
    @writing = Mutex.new
  end

  def handle(name)
    @handles.fetch(name)
  end

  def drop(name)
    close(@handles.delete(name)) if @handles.key?(name)
  end

  def close(handle)
    case handle
    when Honker::Lock then handle.release unless handle.released?
    when OpenTransaction then handle.transaction.rollback! if handle.open
    else handle.close if handle.respond_to?(:close)
    end
    nil
  end

  def answer(keys)
    { ok: OPERATIONS.fetch(keys["op"]).call(Request.new(self, keys)) }
  rescue Otherwise => e
    e.answer
  rescue Honker::Error => e
    { error: { name: e.name.delete_prefix("HONKER_"), type: e.class.name, message: e.message.scrub } }
  rescue ArgumentError, TypeError, RangeError => e
    { error: { name: "INVALID", type: e.class.name, message: e.message.scrub } }
  rescue StandardError => e
    { crashed: { message: e.full_message(highlight: false).scrub, trace: (e.backtrace || []).join("\n") } }
  end

  def write(keys, answer)
    line = JSON.generate({ seq: keys["seq"], **answer }, max_nesting: 0)
    @writing.synchronize { $stdout.write("#{line}\n") && $stdout.flush }
  end

  # Does a lane's requests, until one of them ends the transaction `name`, if there is one: that is returned.
  def work(requests, name = nil)
    while (keys = requests.pop)
      ends = %w[tx.commit tx.rollback close].include?(keys["op"])
      return keys if ends && keys["on"] == name

      begin_or_answer(requests, keys, ends)
    end
  end

  def begin_or_answer(requests, keys, ends)
    on = @handles[keys["on"]]
    if keys["op"] == "tx.begin"
      transaction(requests, keys)
    elsif ends && on.is_a?(OpenTransaction) && on.open && on.lane != requests
      on.lane << keys # its block is in that lane
    else
      write(keys, answer(keys))
    end
  end

  def transaction(requests, keys)
    ending = keys
    given = answer_with do
      handle(keys["on"]).transaction do |tx|
        made = OpenTransaction.new(tx, requests, true)
        @handles[keys["as"]] = made
        write(keys, { ok: {} })
        ending = work(requests, keys["as"])
        made.open = false
        tx.rollback! unless ending && ending["op"] == "tx.commit"
      end
    end
    ending.nil? ? requests << nil : write(ending, given)
  end

  def answer_with
    yield
    { ok: {} }
  rescue Honker::Error => e
    { error: { name: e.name.delete_prefix("HONKER_"), type: e.class.name, message: e.message.scrub } }
  rescue StandardError => e
    { crashed: { message: e.full_message(highlight: false) } }
  end

  def reset
    @lanes.each_value { |_, requests| requests << nil }
    @lanes.each_value { |task, _| task.join { interrupt } }
    @lanes.clear
    @handles.keys.reverse_each do |name|
      drop(name)
    rescue Honker::Error
      next # what is closed already
    end
    @jobs.clear
  end

  def interrupt
    @handles.each_value { |it| it.interrupt if it.is_a?(Honker::Database) && !it.closed? }
  rescue Honker::ClosedError
    nil
  end

  def listen
    $stdin.each_line do |line|
      keys = JSON.parse(line, max_nesting: false)
      if %w[reset bye].include?(keys["op"])
        reset
        write(keys, { ok: {} })
        return if keys["op"] == "bye"
      else
        lane(keys["lane"]) << keys
      end
    end
  end

  def lane(name)
    @lanes[name] ||= begin
      requests = Thread::Queue.new
      [Task.new { work(requests) }, requests]
    end
    @lanes[name].last
  end
end

Testee.new.listen
exit!(0)
