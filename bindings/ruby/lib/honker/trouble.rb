# frozen_string_literal: true

module Honker
  # Errors that pass by themselves, as a loop meets them: said once, waited out with growing pauses, and said once more when
  # they are over. Nothing here is for users.
  # @private
  class Trouble
    PAUSE_MIN_S = 0.1
    PAUSE_MAX_S = 10.0

    def initialize(log, who)
      @log = log
      @who = who
      @error = nil
    end

    # @return [Exception, nil] the last one, if it is not over
    attr_reader :error

    # How long to wait after this one. It is said if it is the first, or of another kind than the one before.
    def met(error)
      unless error.instance_of?(@error.class)
        @log.warn("#{@who} waits and tries again: #{Handler.message(error)} (#{Handler.name(error)})")
      end
      @pause_s = @error ? [@pause_s * 2, PAUSE_MAX_S].min : PAUSE_MIN_S
      @error = error
      @pause_s
    end

    def over
      return if @error.nil?

      @error = nil
      @log.info("#{@who} works again")
    end
  end
  private_constant :Trouble
end
