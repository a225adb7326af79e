# frozen_string_literal: true

require_relative "helper"
require "honker/opentelemetry"

# Traces. With the gem if it is there; in any case with what this package uses of it, spelt out.
class TestOpenTelemetry < HonkerTest
  Span = Struct.new(:name, :kind, :attributes, :parent, :id, :events, :error) do
    def set_attribute(key, value)
      attributes[key] = value
    end

    def add_event(name)
      events << name
    end
  end

  # The part of the interface that lib/honker/opentelemetry.rb names.
  class Api
    attr_reader :spans, :current

    def initialize
      @spans = []
      @current = nil
    end

    def tracer(name, version)
      raise ArgumentError unless name == "honker" && version == Honker::VERSION

      self
    end

    def in_span(name, attributes:, kind:)
      span = Span.new(name, kind, attributes.dup, @current, "span-#{@spans.size}", [])
      @spans << span
      before, @current = @current, span.id
      yield span
    rescue StandardError => e
      span.error = e
      raise
    ensure
      @current = before
    end

    def inject(carrier)
      carrier["traceparent"] = @current
    end

    def extract(carrier)
      carrier["traceparent"]
    end

    def with_current(context)
      before, @current = @current, context
      yield
    ensure
      @current = before
    end
  end

  # It is a module of the gem's.
  def api
    @api = api = Api.new
    Module.new do
      const_set(:Context, api)
      %i[tracer_provider propagation].each { |name| define_singleton_method(name) { api } }
    end
  end

  def teardown
    @hooks&.each { |hook| Honker::Hooks.remove(hook) }
    super
  end

  def install(api)
    @hooks = Honker::OpenTelemetry.install(api)
  end

  def work(queue, &block)
    queue.worker("w", max_run_s: 60).run(stop: -> { queue.stats.values_at(:pending, :claimed).sum.zero? }, &block)
  end

  def test_the_trace_goes_with_the_job
    install(api)
    q = db.queue("q", max_attempts: 2)
    id = q.enqueue({ to: "alice" }, metadata: { tenant: "t" })
    q.enqueue(2, delay: -10)
    db.enqueue_many([{ queue: q, payload: 3 }])
    work(q) do |job|
      raise "boom" if job.payload == 2
      raise Honker::Snooze.new(delay_s: 100) if job.payload == 3
    end
    sent, processed = @api.spans.partition { |span| span.kind == :producer }
    assert_equal ["send q"] * 3, sent.map(&:name)
    assert_equal id.to_s, sent.first.attributes["messaging.message.id"]
    assert_equal sent.map(&:id).sort, processed.map(&:parent).sort
    first = processed.find { |span| span.attributes["messaging.message.id"] == id.to_s }
    told = first.attributes.values_at(*%w[messaging.system messaging.destination.name messaging.message.body.size honker.job.attempt
                                          honker.job.max_attempts])
    assert_equal ["process q", "honker", "q", 14, 1, 2], [first.name, *told]
    assert_equal "w", first.attributes["messaging.client.id"][/[^@]*/] # it claims as w@<instance>
    waits = processed.map { |span| span.attributes["honker.job.wait_s"] }
    assert waits.all?(Float)
    assert_operator waits.max, :>=, 10
    assert_equal [nil, "boom", nil], processed.sort_by { |span| span.attributes["messaging.message.id"].to_i }.map { |span| span.error&.message }
    assert_equal [["snoozed"]], processed.map(&:events).reject(&:empty?)
    assert_equal 1, q.stats[:delayed] - 1 # the one that was snoozed, and the one that failed
  end

  def test_with_the_gem
    begin
      require "opentelemetry/sdk"
    rescue LoadError
      skip_loudly "the gem opentelemetry-sdk is not installed"
    end
    exporter = ::OpenTelemetry::SDK::Trace::Export::InMemorySpanExporter.new
    ::OpenTelemetry::SDK.configure do |config|
      config.add_span_processor(::OpenTelemetry::SDK::Trace::Export::SimpleSpanProcessor.new(exporter))
    end
    install(::OpenTelemetry)
    q = db.queue("q")
    q.enqueue(1)
    work(q) { |_| nil }
    sent, processed = exporter.finished_spans
    assert_equal sent.span_id, processed.parent_span_id
    assert_equal sent.trace_id, processed.trace_id
  end
end
