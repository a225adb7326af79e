# frozen_string_literal: true

require "json"

module Honker
  # A JSON object of a payload: a Hash with String keys that also answers to Symbols, as do those within it.
  #
  #     job.payload["name"] == job.payload[:name]
  #     case job.payload in { name: String => name }
  class Payload < Hash
    # @private
    def self.key(key)
      key.is_a?(Symbol) ? key.name : key
    end

    def [](key)
      super(Payload.key(key))
    end

    def []=(key, value)
      super(Payload.key(key), value)
    end
    alias store []=

    def fetch(key, *default, &block)
      super(Payload.key(key), *default, &block)
    end

    def key?(key)
      super(Payload.key(key))
    end
    alias has_key? key?
    alias include? key?
    alias member? key?

    def dig(key, *rest)
      value = self[key]
      rest.empty? || value.nil? ? value : value.dig(*rest)
    end

    def delete(key, &block)
      super(Payload.key(key), &block)
    end

    def values_at(*keys)
      super(*keys.map { |key| Payload.key(key) })
    end

    def fetch_values(*keys, &block)
      super(*keys.map { |key| Payload.key(key) }, &block)
    end

    def slice(*keys)
      super(*keys.map { |key| Payload.key(key) })
    end

    def except(*keys)
      super(*keys.map { |key| Payload.key(key) })
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

    # A JSON object of the library's in which the payload is a text.
    def row(row)
      row["payload"] = decode(row["payload"]) if row["payload"]
      row
    end
  end
  private_constant :Codec
end
