# frozen_string_literal: true

module Honker
  # An open transaction, made by {Database#transaction}: your own SQL and honker's operations, committed together or not at
  # all. One thread uses it at a time. It holds the only writer: keep it short.
  class Transaction
    # @private
    def initialize(database, handle)
      @database = database
      @handle = handle
      @rolled_back = false
      @over = false
    end

    # @private
    # The library could only say that there is no such transaction any more.
    def handle
      raise MisuseError, "the transaction is over" if @over

      @handle
    end

    # @private
    def over!
      @over = true
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
end
