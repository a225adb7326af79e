# frozen_string_literal: true

require "honker"

module Honker
  # OpenTelemetry for honker, on the gem opentelemetry-api, which the application has; it is not loaded by honker otherwise:
  #
  #     require "honker/opentelemetry"
  #     Honker::OpenTelemetry.install
  #
  # A span for what enqueues a job and one for each time it is performed, which is the child of the former, in whichever process
  # it runs. The trace context travels in the job's metadata. Names are those of the semantic conventions for messaging.
  #
  # Of the gem it uses `tracer_provider.tracer(name, version)`, `tracer.in_span(name, attributes:, kind:) { |span| }`,
  # `span.set_attribute`, `span.add_event`, `propagation.inject(hash)`, `propagation.extract(hash)` and
  # `OpenTelemetry::Context.with_current(context) { }`.
  module OpenTelemetry
    # The metadata's key for when the job could first run, in Unix milliseconds.
    DUE_AT = "honker.due_at_ms"
    private_constant :DUE_AT

    # @return [Array] the hooks, for {Hooks.remove}
    def self.install(api = ::OpenTelemetry)
      tracer = api.tracer_provider.tracer("honker", VERSION)
      [Honker.around_enqueue { |job, enqueue| sending(tracer, api.propagation, job, enqueue) },
       Honker.around_job { |job, perform| processing(tracer, api, job, perform) }]
    end

    class << self
      private

      def sending(tracer, propagation, job, enqueue)
        tracer.in_span("send #{job.queue}", attributes: attributes(job.queue, "send"), kind: :producer) do |span|
          metadata = job.metadata
          metadata[DUE_AT] = due_at_ms(**job.options.slice(:delay, :run_at)).to_s
          propagation.inject(metadata)
          id = enqueue.call
          span.set_attribute("messaging.message.id", id.to_s) if id.is_a?(Integer)
        end
      end

      def processing(tracer, api, job, perform)
        snoozed = nil
        api::Context.with_current(api.propagation.extract(job.metadata.to_h)) do
          tracer.in_span("process #{job.queue_name}", attributes: of(job), kind: :consumer) do |span|
            perform.call
          rescue Snooze => e # is no failure
            snoozed = e
            span.add_event("snoozed")
          end
        end
        raise snoozed if snoozed
      end

      def attributes(queue, operation)
        { "messaging.system" => "honker", "messaging.destination.name" => queue, "messaging.operation.type" => operation }
      end

      def of(job)
        known = attributes(job.queue_name, "process").merge(
          "messaging.message.id" => job.id.to_s, "messaging.message.body.size" => job.payload_text.bytesize,
          "messaging.client.id" => job.worker_id, "honker.job.attempt" => job.attempts,
          "honker.job.max_attempts" => job.max_attempts
        )
        due_at = Integer(job.metadata[DUE_AT], exception: false)
        return known if due_at.nil? || job.attempts > 1

        known.merge("honker.job.wait_s" => [now_ms - due_at, 0].max / 1000.0)
      end

      def due_at_ms(delay: nil, run_at: nil)
        return now_ms + (delay * 1000) if delay

        run_at ? run_at.to_i * 1000 : now_ms
      end

      def now_ms
        Process.clock_gettime(Process::CLOCK_REALTIME, :millisecond)
      end
    end
  end
end
