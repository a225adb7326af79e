# frozen_string_literal: true

module Honker
  # What goes into the library: texts, numbers, SQL values. Nothing here is for users.
  # @private
  module Value
    INTEGERS = (-(1 << 63)..((1 << 63) - 1))

    module_function

    # A String or Symbol as UTF-8, and its length; nil, where that is allowed, as none.
    def text(value, what)
      text = utf8(value, what)
      [text, text.bytesize]
    end

    def optional_text(value, what)
      value.nil? ? [nil, 0] : text(value, what)
    end

    def utf8(value, what)
      value = value.name if value.is_a?(Symbol)
      raise TypeError, "#{what} has to be a String, not #{value.class}" unless value.is_a?(String)
      # Another thread may change it while the library reads it.
      return value.frozen? ? value : value.dup.freeze if value.encoding == Encoding::UTF_8
      return value.dup.force_encoding(Encoding::UTF_8).freeze if value.encoding == Encoding::BINARY

      value.encode(Encoding::UTF_8).freeze
    rescue ::EncodingError => e
      raise EncodingError, "#{what} cannot be converted to UTF-8: #{e.message}"
    end

    # An error's text, whatever is in it: a worker must not die of the error it reports.
    def error_text(value)
      text = value.to_s
      text = text.dup.force_encoding(Encoding::UTF_8) if text.encoding == Encoding::BINARY
      text = text.encode(Encoding::UTF_8, invalid: :replace, undef: :replace).scrub.tr("\0", "\uFFFD")
      [text, text.bytesize]
    rescue ::EncodingError
      text = value.to_s.b.force_encoding(Encoding::UTF_8).scrub.tr("\0", "\uFFFD")
      [text, text.bytesize]
    end

    # A number of 64 bits: an Integer, or what counts as one (a Float loses its fraction, an ActiveSupport::Duration has its
    # seconds).
    def integer(value, what)
      unless value.is_a?(Integer)
        raise TypeError, "#{what} has to be a number, not #{value.class}" unless value.respond_to?(:to_int)

        value = value.to_int # NaN and Infinity: a FloatDomainError, which is a RangeError
      end
      raise RangeError, "#{what} does not fit into 64 bits: #{value}" unless INTEGERS.cover?(value)

      value
    end

    # One of a few Symbols (or their Strings).
    def choice(choices, value, what)
      choices.fetch(value.is_a?(String) ? value.to_sym : value) do
        raise ArgumentError, "#{what} has to be one of #{choices.keys.inspect}: #{value.inspect}"
      end
    end

    def positive(value, what)
      value = integer(value, what)
      raise ArgumentError, "#{what} has to be positive: #{value}" unless value.positive?

      value
    end

    # Memory with such numbers.
    def integers(values, what)
      FFI::MemoryPointer.new(:int64, [values.size, 1].max).put_array_of_int64(0, values)
    rescue TypeError, RangeError
      integers(values.map { |value| integer(value, what) }, what) # for its error
    end

    # The same for what may be left out. The library's mark for that is no number of the user's.
    def optional_integer(value, what)
      return Native::NO_TIME if value.nil?

      value = integer(value, what)
      raise RangeError, "#{what} is too large: #{value}" if value == Native::NO_TIME

      value
    end

    # A delay from now; with the present time it has to fit as well.
    def delay(value, what)
      value = integer(value, what)
      raise RangeError, "#{what} is out of range: #{value}" unless value.abs < 1 << 62

      value
    end

    # A moment: Unix seconds, or a Time.
    def moment(value, what)
      optional_integer(value.is_a?(Time) ? value.to_i : value, what)
    end

    # Seconds to wait, as a Float or Integer; nil without end.
    def timeout(value, what = "timeout")
      return if value.nil?
      unless value.respond_to?(:to_f) && !value.is_a?(String)
        raise TypeError, "#{what} has to be a number of seconds or nil, not #{value.class}"
      end

      seconds = value.to_f
      raise ArgumentError, "#{what} has to be 0 or more: #{value}" if seconds.nan? || seconds.negative?

      seconds.infinite? ? nil : seconds
    end

    # A struct of where a text is and its length, for one within another; the memory has to be kept until the call is over.
    def bytes(value, what)
      text = value && utf8(value, what)
      memory = text && FFI::MemoryPointer.new(:char, [text.bytesize, 1].max).put_bytes(0, text)
      [memory, [memory ? memory.address : 0, text ? text.bytesize : 0]]
    end

    # Parameters of a statement: memory for them, their number, and what has to be kept until the call is over.
    def parameters(params)
      raise TypeError, "params has to be an Array, not #{params.class}" unless params.is_a?(Array)
      return [nil, 0, nil] if params.empty?

      kept = []
      packed = params.each_with_index.map { |value, i| parameter(value, "params[#{i}]", kept) }.join
      [FFI::MemoryPointer.new(:char, packed.bytesize).put_bytes(0, packed), params.size, kept]
    end

    def parameter(value, what, kept)
      case value
      when nil then Native::VALUE.pack(Native::TYPE_NULL, 0, 0, 0.0, 0, 0)
      when true, false then Native::VALUE.pack(Native::TYPE_INTEGER, 0, value ? 1 : 0, 0.0, 0, 0)
      when Integer then Native::VALUE.pack(Native::TYPE_INTEGER, 0, integer(value, what), 0.0, 0, 0)
      when Float then Native::VALUE.pack(Native::TYPE_REAL, 0, 0, value, 0, 0)
      when String, Symbol
        blob = value.is_a?(String) && value.encoding == Encoding::BINARY
        memory, place = bytes(value, what)
        kept << memory
        Native::VALUE.pack(blob ? Native::TYPE_BLOB : Native::TYPE_TEXT, 0, 0, 0.0, *place)
      else
        raise TypeError, "#{what} has to be nil, true, false, an Integer, a Float or a String, not #{value.class}"
      end
    end

    # A column of a row.
    def column(type, integer, real, address, length)
      case type
      when Native::TYPE_INTEGER then integer
      when Native::TYPE_REAL then real
      when Native::TYPE_TEXT then Native.text(address, length)
      when Native::TYPE_BLOB then Native.text(address, length).force_encoding(Encoding::BINARY)
      end
    end
  end
  private_constant :Value
end
