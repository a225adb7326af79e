defmodule Honker.Event do
  @moduledoc """
  What is told of workers and of enqueueing. Events go to the function that is configured, and otherwise to `:telemetry`, if
  that is there:

      config :honker, on_event: &MyApp.Metrics.handle/3
      config :honker, on_event: {MyApp.Metrics, :handle}

  | event | measurements | metadata |
  | --- | --- | --- |
  | `[:honker, :enqueue]` | `count` of those that were added | `jobs`, a list of `{queue, payload, options}`, and `results`: `{:enqueued, id}`, `{:exists, id}` or `{:replaced, id}` for each. Within a transaction that is before its commit |
  | `[:honker, :job, :start]` | `attempts`; `queue_wait_ms`, if `Honker.Trace` was around the enqueueing | `job`, `worker` |
  | `[:honker, :job, :stop]` | `duration` (native units) | `job`, `worker`, `result`: `:ack`, `{:retry, delay, error}` (delay nil: the worker's own), `{:snooze, delay}`, `{:discard, error}` or `:release`; `failure`: a `Honker.Failure`, with the exception and its stacktrace, or nil |
  | `[:honker, :job, :lost]` | `duration` | as `:stop`; the claim was lost, or the handler has settled the job itself. With `reason` (`:gone`, `:lapsed`, `:taken`, `:timeout`) while it ran, or `:refused` and an `error` if the file refuses the settlement |
  | `[:honker, :worker, :error]` | | `worker`, `error`: it cannot claim or settle; once, until it can again |

  The function runs in the process of the worker (`:start`: in that of the job; enqueueing: in the caller's); what it raises is ignored.
  """

  @doc false
  def emit(event, measurements, metadata) do
    case Application.get_env(:honker, :on_event) do
      nil ->
        # It is loaded as soon as anybody has attached to an event.
        if :erlang.function_exported(:telemetry, :execute, 3),
          do: apply(:telemetry, :execute, [event, measurements, metadata])

      {module, function} ->
        apply(module, function, [event, measurements, metadata])

      function ->
        function.(event, measurements, metadata)
    end

    :ok
  rescue
    _error -> :ok
  catch
    _kind, _reason -> :ok
  end
end
