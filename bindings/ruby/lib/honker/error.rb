# frozen_string_literal: true

require "timeout"

module Honker
  # What went wrong. An operation that raises one has done nothing.
  class Error < StandardError
    # @return [Integer] the status of the C ABI, a negative number; 0 if the library was not asked at all
    attr_reader :status
    # @return [String] its name, "HONKER_BUSY"
    attr_reader :name
    # @return [Integer] SQLite's primary result code, 5 for SQLITE_BUSY; 0 if it was not SQLite that refused
    attr_reader :sqlite_code
    # @return [Integer] SQLite's extended result code
    attr_reader :sqlite_extended_code

    # @param message [String]
    # @param status [Integer]
    # @param name [String]
    def initialize(message = nil, status: self.class::STATUS, name: self.class::NAME, sqlite_code: 0,
                   sqlite_extended_code: 0)
      super(message)
      @status = status
      @name = name
      @sqlite_code = sqlite_code
      @sqlite_extended_code = sqlite_extended_code
    end

    # @return [Boolean] whether nothing is wrong but the moment: somebody else was writing
    def retryable?
      is_a?(BusyError) || is_a?(AbortedError)
    end

    # @return [Boolean] whether it passes by itself, or when somebody has made room or mended the disk: nothing was done, and
    #   the same call may succeed later. The loops of this package wait for that
    def transient?
      Native::TRANSIENT.include?(status) && !is_a?(InterruptedError) # which is for whoever runs the loop
    end

    STATUS = 0
    NAME = "HONKER_ERROR"
    BY_STATUS = {} # rubocop:disable Style/MutableConstant -- filled below, then frozen

    def self.define(status, name)
      Class.new(self) do
        const_set(:STATUS, status)
        const_set(:NAME, name)
        BY_STATUS[status] = self
      end
    end
    private_class_method :define

    # A bug of honker's, or memory that could not be had.
    Honker::InternalError = define(-1, "HONKER_INTERNAL")
    # Somebody else held the write lock for longer than the busy timeout. Try again.
    Honker::BusyError = define(-2, "HONKER_BUSY")
    # A constraint of your own tables refused the change.
    Honker::ConstraintError = define(-3, "HONKER_CONSTRAINT")
    # The operating system failed to read or write.
    Honker::StorageError = define(-4, "HONKER_IO")
    # The file is damaged, or no database at all.
    Honker::CorruptError = define(-5, "HONKER_CORRUPT")
    # The disk, or the database, is full.
    Honker::FullError = define(-6, "HONKER_FULL")
    # The file or its directory cannot be written to.
    Honker::ReadOnlyError = define(-7, "HONKER_READONLY")
    # The file cannot be opened: no such directory, no permission.
    Honker::CannotOpenError = define(-8, "HONKER_CANNOT_OPEN")
    # SQLite refused the statement.
    Honker::SQLError = define(-9, "HONKER_SQL")
    # The schema changed again and again while the statement was prepared.
    Honker::SchemaError = define(-10, "HONKER_SCHEMA")
    # A text, a blob or a row is larger than SQLite stores.
    Honker::TooBigError = define(-11, "HONKER_TOO_BIG")
    # Rolled back because of somebody else's failure. Try again.
    Honker::AbortedError = define(-12, "HONKER_ABORTED")
    # The call cannot be made now: a transaction that is over, or one within another.
    Honker::MisuseError = define(-20, "HONKER_MISUSE")
    # An argument cannot be used; the message names it.
    Honker::InvalidError = define(-23, "HONKER_INVALID")
    # What the call is about does not exist.
    Honker::NotFoundError = define(-24, "HONKER_NOT_FOUND")
    # The database, or what was used of it, is closed.
    Honker::ClosedError = define(-25, "HONKER_CLOSED_HANDLE")
    # It comes from before this process was forked: open the database again in the child.
    Honker::ForkedError = define(-26, "HONKER_FORKED")
    # This library, or this machine, cannot do that.
    Honker::UnsupportedError = define(-27, "HONKER_UNSUPPORTED")
    # Ended by {Database#interrupt}.
    Honker::InterruptedError = define(-28, "HONKER_INTERRUPTED")
    # A bug of honker's. What the call was doing has been undone, with the transaction it was part of.
    Honker::PanicError = define(-29, "HONKER_PANIC")
    # The file was replaced by another. Close the database and open it again.
    Honker::WatcherError = define(-30, "HONKER_WATCHER")
    # The operating system refused what it has a limited number of: descriptors, threads, inotify instances.
    Honker::SystemError = define(-31, "HONKER_SYSTEM")
    # The file was brought up to date by a newer honker, and this one may not write to it. Update it.
    Honker::TooOldError = define(-32, "HONKER_TOO_OLD")
    # The connection to the server is lost, or there is none to be had. Try again.
    Honker::ConnectionError = define(-33, "HONKER_CONNECTION")
    # All that was in this database has been moved to another one, or is being moved; the message says where. Open that one.
    Honker::MovedError = define(-34, "HONKER_MOVED")
  end

  # A text is not valid in its encoding, or cannot be converted to UTF-8.
  class EncodingError < InvalidError
    STATUS = -22
    NAME = "HONKER_UTF8"
    Error::BY_STATUS[STATUS] = self
  end

  # A payload cannot be written as JSON: it has NaN, a text that is not UTF-8, or itself in it.
  class PayloadError < InvalidError
  end

  # libhonker, or its loadable extension, could not be loaded. The message lists every path that was tried.
  class LibraryError < Error
    # @return [Array<String>] what was tried, in order
    attr_reader :tried

    def initialize(message = nil, tried: [], **options)
      super(message, **options)
      @tried = tried
    end
  end

  # {Worker#run} has stopped, and some handlers have not returned. Their jobs were given back.
  class UnfinishedError < Error
    # @return [Integer] how many
    attr_reader :running

    def initialize(message = nil, running: 0, **options)
      super(message, **options)
      @running = running
    end
  end

  # {Database#wait_result}: there was no result in time.
  class TimeoutError < ::Timeout::Error
  end

  Error::BY_STATUS[-21] = InvalidError
  Error::BY_STATUS.freeze
end
