# frozen_string_literal: true

module Honker
  # Fires schedules beside a worker, in a thread of its own, with the worker's database. Nothing here is for users.
  #
  # An error of the database does not end the worker: it is said once, and the schedules are tried again. When the file was
  # replaced or the database closed, the thread ends; the worker meets that as well.
  # @private
  class Firing
    # For how long the end of the worker waits for that of the thread, which may wait for a lock.
    END_S = 1.5
    # How often a pause looks whether it is to end.
    LOOK_S = 0.1

    # `stop` says when the worker stops.
    def initialize(database, log, stop)
      @scheduler = database.scheduler
      @stop = -> { @ended || stop.call }
      @trouble = Trouble.new(log, "the scheduler")
      @thread = Thread.new { serve }
    end

    def close
      @ended = true
      @thread.join(END_S)
    end

    private

    def serve
      until @stop.call
        begin
          @scheduler.run(stop: @stop) { @trouble.over }
        rescue WatcherError, ClosedError
          return
        rescue Error => e
          (@trouble.met(e) / LOOK_S).ceil.times { sleep LOOK_S unless @stop.call }
        end
      end
    end
  end
  private_constant :Firing
end
