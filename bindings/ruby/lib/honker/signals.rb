# frozen_string_literal: true

module Honker
  # The signals that end a process, while a worker runs in it. Nothing here is for users.
  # @private
  module Signals
    NAMES = %w[INT TERM].freeze

    # Yields; meanwhile each of the signals calls `handler`, and then what the program itself had trapped it with. That is in
    # place again afterwards.
    def self.during(handler)
      before = {}
      NAMES.each do |name|
        before[name] = trap(name) do |number|
          handler.call
          before[name].call(number) if before[name].respond_to?(:call)
        end
      end
      yield
    ensure
      before.each { |name, command| trap(name, command || "DEFAULT") }
    end
  end
  private_constant :Signals
end
