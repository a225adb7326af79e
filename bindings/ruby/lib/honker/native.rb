# frozen_string_literal: true

module Honker
  # The C ABI, as include/honker.h has it. Its functions, layouts and constants are in abi.rb, which is generated. Nothing
  # here is for users.
  #
  # Handles are numbers (uint64), since the library looks them up and never follows them. Structs are packed and unpacked as
  # strings: no object is made for a field.
  # @private
  module Native
    extend FFI::Library

    # A struct: its fields with the letters of Array#pack. A text is two, where it begins and its length.
    class Layout
      attr_reader :name, :fields, :template, :size, :words

      SIZES = { "L" => 4, "l" => 4, "q" => 8, "Q" => 8, "d" => 8, "J" => 8, "JJ" => 16 }.freeze

      def initialize(name, **fields)
        @name = name
        @fields = fields
        @template = fields.values.join
        @size = fields.values.sum { |letters| SIZES.fetch(letters) }
        @words = @size / 8
      end

      # The number of a field, if the struct is read as words of 64 bits.
      def word(name)
        @fields.take_while { |field, _| field != name }.sum { |_, letters| SIZES.fetch(letters) } / 8
      end

      # The struct with these values, in order; those that begin with struct_size and reserved are given them.
      def pack(*values)
        values = [@size, 0, *values] if @fields.key?(:struct_size)
        values.pack(@template)
      end

      # Memory for the library to write to, for one or more, of which the first says how long each is.
      def view(count = 1)
        FFI::MemoryPointer.new(@size, count).write_uint32(@size)
      end

      def read(view)
        view.read_bytes(@size).unpack(@template)
      end
    end

    # All of the memory, counted from its second byte: a pointer for each text would be one more object.
    MEMORY = FFI::Pointer.new(1)

    # The text at an address, which is the library's.
    def self.text(address, length)
      return +"" if length.zero?

      MEMORY.get_bytes(address - 1, length).force_encoding(Encoding::UTF_8)
    end
  end
  private_constant :Native
end

require_relative "abi"
