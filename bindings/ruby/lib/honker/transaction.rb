# frozen_string_literal: true

module Honker
  # An open transaction, made by {Database#transaction}: your own SQL and honker's operations, committed together or not at
  # all. One thread uses it at a time. It holds the only writer: keep it short.
  class Transaction
    # @private
    def initialize(database, open)
      @database = database
      @open = open
      @rolled_back = false
      ObjectSpace.define_finalizer(self, Transaction.finalizer(open))
    end

    # @private
    attr_reader :database

    # @private
    # The library could only say that there is no such transaction any more.
    def handle
      raise MisuseError, "the transaction is over" if @open.over?

      @open.handle
    end

    # @private
    def self.finalizer(open)
      proc { open.roll_back }
    end

    # Runs one statement. All of honker's SQL functions are there.
    #
    # @param sql [String]
    # @param params [Array] the values of `?`, in order: nil, true, false, Integer, Float, String; a String in binary encoding
    #   is a blob
    # @return [Integer] how many rows it inserted, updated or deleted
    def execute(sql, params = [])
      memory, count, kept = Value.parameters(params)
      @database.number(:honker_tx_execute, handle, *Value.text(sql, "sql"), memory, count)
    ensure
      kept&.clear # until here the library read it
    end

    # The rows of one statement, each an Array of its columns. They see what the transaction has done so far.
    #
    # @return [Array<Array>]
    def query(sql, params = [])
      @database.rows(:honker_tx_query, handle, sql, params)
    end

    # The first row of one statement.
    #
    # @return [Array, nil] its columns; nil if there is no row
    def query_row(sql, params = [])
      query(sql, params).first
    end

    # Rolls back and leaves the block of {Database#transaction}, which returns nil. Nothing is raised.
    def rollback!
      @database.call(:honker_tx_rollback, handle)
      @rolled_back = true
      throw self
    end

    # @return [Boolean] whether {#rollback!} was called
    def rolled_back?
      @rolled_back
    end

    # @private
    def self.required(transaction)
      transaction || raise(TypeError, "tx has to be a Honker::Transaction, not nil")
    end

    # @private
    def self.handle(transaction)
      case transaction
      when nil then 0
      when Transaction then transaction.handle
      else raise TypeError, "tx has to be a Honker::Transaction, not #{transaction.class}"
      end
    end
  end

  # The native part of a transaction, and who has begun it. Should its Fiber be abandoned, nobody leaves the block: then it ends
  # here, or it would keep the file locked for as long as the process lives.
  # @private
  class OpenTransaction
    include Clock

    # For how long a transaction may keep others waiting before it is looked for those who could still end it, and how often.
    LOOK_S = 1.0

    attr_reader :handle

    def initialize(handle, pid)
      @handle = handle
      @pid = pid
      @thread = Thread.current
      @fiber = Fiber.current.object_id # not the Fiber, which is to be collected
      @looked_at = now
      @over = false
    end

    def over?
      @over
    end

    def over!
      @over = true
    end

    def roll_back
      return if @over

      @over = true
      Native.honker_tx_free(@handle) if Process.pid == @pid # a child's is the parent's
    end

    def mine?
      @over || (@thread.equal?(Thread.current) && @fiber == Fiber.current.object_id)
    end

    # Rolls back if nobody can leave the block any more: its thread has ended, or its Fiber is garbage. Whether it is over.
    def end_if_abandoned
      @looked_at = now
      @thread.alive? ? GC.start : roll_back
      @over
    end

    def end_if_abandoned_for_long
      end_if_abandoned unless @over || now - @looked_at < LOOK_S
    end
  end
  private_constant :OpenTransaction
end
