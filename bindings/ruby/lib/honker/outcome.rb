# frozen_string_literal: true

module Honker
  # What a worker's handler may raise to say what becomes of its job. Anything else that it raises is a retry, with the
  # worker's own delay.
  class Outcome < StandardError
    # @return [Integer, nil] in how many seconds the job becomes due again; nil for the worker's own delay
    attr_reader :delay_s

    # @param message [String] why; kept with the job if it ends among the dead
    # @param delay_s [Integer, nil]
    def initialize(message = nil, delay_s: nil)
      super(message)
      @delay_s = delay_s && Value.delay(delay_s, "delay_s")
    end
  end

  # The job could not be done now: it becomes due again in `delay_s` seconds or, if its attempts are used up, ends among the
  # dead.
  class Retry < Outcome
  end

  # The job can never be done: it ends among the dead.
  class Discard < Outcome
  end

  # It is not the time for the job: it becomes due again in `delay_s` seconds, and this attempt does not count.
  class Snooze < Outcome
    def initialize(message = nil, delay_s:)
      super
    end
  end

  # {ClaimedJob#check!} and {ClaimedJob#heartbeat!} raise it when the job was lost, or its worker stops. Let it pass: then the job
  # goes back, if it is the worker's still, and this attempt does not count.
  class Cancelled < Outcome
  end
end
