defmodule Honker.Trace do
  @moduledoc """
  Carries the trace of OpenTelemetry from who enqueues a job to who runs it, in the job's metadata.

      Honker.open("app.db", around_enqueue: &Honker.Trace.around_enqueue/2)
      {Honker.Worker, ..., around_job: &Honker.Trace.around_job/2}

  Where `opentelemetry_api` is there, the current context is injected (`traceparent` and what else its propagators have), and is
  the current one of the process that runs the job: spans that the handler starts belong to the trace. With or without it the
  time of the enqueueing is noted, so that `[:honker, :job, :start]` (`Honker.Event`) has `queue_wait_ms`.
  """

  @propagator :otel_propagator_text_map

  @doc "For `around_enqueue:` of `Honker.open/2`. Metadata that a job has already wins."
  def around_enqueue(jobs, next) do
    own = Map.new([{"enqueued_at_ms", to_string(System.os_time(:millisecond))} | inject()])

    next.(
      for {queue, payload, opts} <- jobs do
        given = Map.new(opts[:metadata] || %{}, fn {key, value} -> {to_string(key), value} end)
        {queue, payload, Keyword.put(opts, :metadata, Map.merge(own, given))}
      end
    )
  end

  @doc "For `around_job:` of `Honker.Worker`."
  def around_job(job, next) do
    if Code.ensure_loaded?(@propagator), do: apply(@propagator, :extract, [Map.to_list(job.metadata)])
    next.(job)
  end

  defp inject, do: if(Code.ensure_loaded?(@propagator), do: apply(@propagator, :inject, [[]]), else: [])
end
