# frozen_string_literal: true

module Honker
  # How calls of the library are made. Nothing here is for users.
  #
  # Ruby cannot end a native call. So the library waits for a lock only for a slice of the busy timeout; the rest is waited for
  # here, where Timeout, Thread#kill, signals and a Fiber scheduler work ({LockWait}). A call that was ended while it waited
  # is not made again.
  #
  # Timeout and Thread#kill may strike when a call has come back. So what a call gives lies in memory of that call's own, which
  # `ensure` reads.
  # @private
  module Calls
    # Makes a call, again and again while somebody else has the lock, for the busy timeout; its status, which is no error. The
    # block is given the error that one may leave which succeeds.
    def call(function, *args)
      error = FFI::MemoryPointer.new(:uint64)
      interrupts = @interrupts
      wait = nil
      loop do
        status = Native.public_send(function, *args, error)
        if status >= 0
          yield error_of(status, error.read_uint64) if block_given? && !error.read_uint64.zero?
          return status
        end
        wait ||= LockWait.new(self, interrupts)
        fail_with(status, error.read_uint64) unless wait.again?(status)
        Native.honker_error_free(error.read_uint64)
        error.write_uint64(0)
      end
    ensure
      Calls.free_error(error)
    end

    # The memory of an error that a call may have left, when the call is over.
    def self.free_error(error)
      Native.honker_error_free(error.read_uint64) unless error.nil? || error.read_uint64.zero?
    end

    # Of a call that answers 0 or the one outcome that means no.
    def call?(function, *args)
      call(function, *args).zero?
    end

    # The number a call gives; nil if there is none.
    def number(function, *args)
      out = FFI::MemoryPointer.new(:int64)
      call(function, *args, out).zero? ? out.read_int64 : nil
    end

    # Yields the handle that a call gives, if it gives one, and frees it.
    def owned(function, free, *args)
      out = FFI::MemoryPointer.new(:uint64)
      status = call(function, *args, out)
      handle = out.read_uint64
      handle.zero? ? yield(nil, status) : yield(handle, status)
    ensure
      handle = out.read_uint64
      Native.public_send(free, handle) unless handle.zero?
    end

    # The text a call gives; nil if there is none.
    def owned_text(function, *args)
      owned(function, :honker_text_free, *args) { |text, _| text && read_text(text) }
    end

    # What a call gives as many: each as its view's fields.
    def owned_list(function, kind, layout, *args, &block)
      owned(function, :"honker_#{kind}_free", *args) { |list, _| list ? read_list(list, kind, layout, &block) : [] }
    end

    def read_list(list, kind, layout)
      get = :"honker_#{kind}_get"
      view = layout.view
      Array.new(number(:"honker_#{kind}_len", list)) do |i|
        status = Native.public_send(get, list, i, view, nil)
        call(get, list, i, view) if status.negative? # for its error
        yield(*layout.read(view).drop(2))
      end
    end

    def read_text(text)
      data = FFI::MemoryPointer.new(:uint64)
      length = FFI::MemoryPointer.new(:uint64)
      call(:honker_text_get, text, data, length)
      Native.text(data.read_uint64, length.read_uint64)
    end

    # The error behind a handle; 0 for one that the library could not make.
    def error_of(status, error)
      message = error.zero? ? "no details" : message_of(error)
      Error::BY_STATUS.fetch(status, Error).new(
        message, status: status, name: Native.honker_status_name(status),
                 sqlite_code: Native.honker_error_sqlite_code(error),
                 sqlite_extended_code: Native.honker_error_sqlite_extended_code(error)
      )
    end

    private

    def message_of(error)
      length = FFI::MemoryPointer.new(:uint64)
      address = Native.honker_error_message(error, length)
      Native.text(address.address, length.read_uint64)
    end
  end
  private_constant :Calls
end
