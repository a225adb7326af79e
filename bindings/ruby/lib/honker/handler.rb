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

    # The same with its class and where it comes from.
    def report(error)
      trace = text(error) { (error.backtrace || []).first(TRACE_LINES).map { |line| Value.error_text(line).first }.join("\n") }
      "#{message(error)} (#{name(error)})\n#{trace}"
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
