# frozen_string_literal: true

module Honker
  # Runs the user's code for one job: that of {Worker#run} and the delivery of an {Outbox}. Nothing here is for users.
  #
  # A worker must not end because of what a handler raises, nor because of what that error says of itself. What Ruby raises to
  # leave (SystemExit, Interrupt, a Timeout around the worker) is not an error of the job's, and passes.
  # @private
  module Handler
    CONTAINED = [StandardError, ScriptError, SecurityError, NoMemoryError, SystemStackError].freeze
    TRACE_LINES = 20
    OWN = __FILE__.delete_suffix("honker/handler.rb").freeze # as backtraces have it

    module_function

    # What the block raised; nil if it returned.
    def error
      yield
      nil
    rescue *CONTAINED => e
      e
    end

    # What an error says, as UTF-8.
    def message(error)
      text(error) { error.message }
    end

    # The same with its class and where it comes from; for a log without this package's own frames.
    def report(error, for_log: false)
      trace = text(error) do
        lines = error.backtrace || []
        lines = theirs(lines, error) if for_log
        lines.first(TRACE_LINES).map { |line| Value.error_text(line).first }.join("\n")
      end
      ["#{message(error)} (#{name(error)})", *trace.lines(chomp: true)].join("\n")
    end

    # All frames if there are no others, but for an {Outcome}, which says enough.
    def theirs(lines, error)
      theirs = lines.reject { |line| line.start_with?(OWN) }
      theirs.empty? && !error.is_a?(Outcome) ? lines : theirs
    end

    def text(error)
      Value.error_text(yield).first
    rescue *CONTAINED => e
      "#{name(error)}, which cannot say what happened: that raises #{name(e)}"
    end

    def name(error)
      Value.error_text(Module.instance_method(:name).bind_call(error.class) || "an anonymous class").first
    end
  end
  private_constant :Handler
end
