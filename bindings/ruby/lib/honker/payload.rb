# frozen_string_literal: true

require "json"

module Honker
  # A JSON object of a payload: a Hash with String keys that also answers to Symbols, as do those within it. A Symbol that is
  # given as a key becomes its String, a Hash that is stored a Payload. Its `to_h` and `transform_keys` are plain Hashes.
  #
  #     job.payload["name"] == job.payload[:name]
  #     case job.payload in { name: String => name }
  class Payload < Hash
    # @private
    def self.key(key)
      key.is_a?(Symbol) ? key.name : key
    end

    # @private
    def self.value(value)
      case value
      when Hash then from(value)
      when Array then value.any? { |one| one.is_a?(Hash) || one.is_a?(Array) } ? value.map { |one| value(one) } : value
      else value
      end
    end

    # @private
    def self.from(hash)
      hash.is_a?(Payload) ? hash : hash.each_with_object(new) { |(key, value), payload| payload[key] = value }
    end

    # As {Hash.[]}.
    def self.[](*pairs)
      from(Hash[*pairs])
    end

    def [](key)
      super(Payload.key(key))
    end

    def []=(key, value)
      super(Payload.key(key), Payload.value(value))
    end

    def store(key, value)
      self[key] = value
    end

    %i[fetch key? has_key? include? member? assoc delete].each do |name|
      define_method(name) { |key, *default, &block| super(Payload.key(key), *default, &block) }
    end

    %i[values_at fetch_values].each do |name|
      define_method(name) { |*keys, &block| super(*keys.map { |key| Payload.key(key) }, &block) }
    end

    %i[slice except].each do |name|
      define_method(name) { |*keys| Payload.from(super(*keys.map { |key| Payload.key(key) })) }
    end

    def dig(key, *rest)
      value = self[key]
      rest.empty? || value.nil? ? value : value.dig(*rest)
    end

    def to_proc
      method(:[]).to_proc
    end

    def update(*others, &block)
      super(*others.map { |other| Payload.from(other.to_hash) }, &block)
    end
    alias merge! update

    def merge(...)
      dup.update(...)
    end

    def replace(other)
      super(Payload.from(other.to_hash))
    end

    def compact
      Payload.from(super)
    end

    %i[select filter reject transform_values].each do |name|
      define_method(name) { |&block| block ? Payload.from(super(&block)) : super() }
    end

    # The keys of `names` may be Symbols. What the block, or `names`, makes of a key stays as it is.
    def transform_keys(*names, &block)
      super(*names.map { |given| Payload.from(given.to_hash) }, &block)
    end

    def transform_keys!(*names, &block)
      names.empty? && block.nil? ? super : replace(transform_keys(*names, &block))
    end

    %i[<= < >= > ==].each do |name|
      define_method(name) { |other| super(other.instance_of?(Hash) ? Payload.from(other) : other) }
    end

    # For patterns, whose keys are Symbols.
    def deconstruct_keys(_keys)
      transform_keys(&:to_sym)
    end
  end

  # A payload that is not JSON: the text as it is stored. To enqueue or publish one stores its text as it is.
  class RawText < String
  end

  # JSON, with the json library. Nothing here is for users.
  # @private
  module Codec
    DEPTH_MAX = 512

    module_function

    def encode(value)
      return value if value.instance_of?(RawText)

      JSON.generate(value, max_nesting: DEPTH_MAX)
    rescue JSON::GeneratorError, JSON::NestingError, ::EncodingError, SystemStackError => e
      raise PayloadError, "the payload cannot be written as JSON: #{e.message}"
    end

    # Empty text is nil, and what is not JSON (or nested more than 512 deep) a RawText.
    def decode(text)
      return if text.empty?

      JSON.parse(text, object_class: Payload, max_nesting: DEPTH_MAX, create_additions: false)
    rescue JSON::ParserError
      RawText.new(text)
    end

    # Options, settings and filters, as the library reads them.
    def options(value)
      encode(plain(value))
    end

    # A moment has its seconds, what counts as a number (an ActiveSupport::Duration) is one, a queue has its name, a batch its id.
    def plain(value)
      case value
      when nil, true, false, Numeric, String, Symbol then value
      when Hash then value.transform_values { |one| plain(one) }
      when Array then value.map { |one| plain(one) }
      when Time then value.to_i
      when Queue then value.name
      when Batch then value.id
      else
        raise TypeError, "a #{value.class} is no option" unless value.respond_to?(:to_int)

        value.to_int
      end
    end

    # The first thing in a value that JSON does not have, and that the json library would write as a text ("#<User:0x…>", for
    # instance); nil if there is none.
    def foreign(value)
      case value
      when nil, true, false, Integer, Float, String, Symbol then nil
      when Hash then foreign(value.values)
      when Array then value.each { |one| (found = foreign(one)) && (return found) } && nil
      else value
      end
    rescue SystemStackError
      raise PayloadError, "the payload is nested too deep"
    end

    # A JSON object of the library's in which the payload is a text.
    def row(row)
      row["payload"] = decode(row["payload"]) if row["payload"]
      row
    end
  end
  private_constant :Codec
end
