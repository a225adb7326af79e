# frozen_string_literal: true

require "logger"

module Honker
  # Says things to a logger. One that raises, as those do whose reader has gone, must not end who speaks to it. Nothing here is
  # for users.
  # @private
  class Log
    # `logger` is nil for {Honker.logger}.
    def initialize(logger)
      @logger = logger
    end

    %i[info warn error].each do |level|
      define_method(level) do |text|
        Handler.error { (@logger || Honker.logger).public_send(level, "honker: #{text}") }
        nil
      end
    end
  end
  private_constant :Log
end
