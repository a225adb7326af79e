# frozen_string_literal: true

module Honker
  # The clock of deadlines, which nobody sets. Nothing here is for users.
  # @private
  module Clock
    private

    def now
      Process.clock_gettime(Process::CLOCK_MONOTONIC)
    end
  end
  private_constant :Clock
end
