defmodule Honker.Event do
  @moduledoc """
  What `Honker.Worker` tells about itself. Events go to the function that is configured, and otherwise to `:telemetry`, if
  that is there:

      config :honker, on_event: &MyApp.Metrics.handle/3
      config :honker, on_event: {MyApp.Metrics, :handle}

  | event | measurements | metadata |
  | --- | --- | --- |
  | `[:honker, :job, :start]` | `attempts` | `job`, `worker` |
  | `[:honker, :job, :stop]` | `duration` (native units) | `job`, `worker`, `result`: `:ack`, `{:retry, delay, error}` or `{:fail, error}` |
  | `[:honker, :job, :lost]` | `duration` | as `:stop`; the claim was lost meanwhile |
  | `[:honker, :job, :error]` | `duration` | as `:stop`, and `error`: it could not be settled, and comes again when its time is over |
  | `[:honker, :worker, :error]` | | `worker`, `error` |

  The function runs in the process that it is about; what it raises is ignored.
  """

  @doc false
  def emit(event, measurements, metadata) do
    case Application.get_env(:honker, :on_event) do
      nil ->
        if Code.ensure_loaded?(:telemetry), do: apply(:telemetry, :execute, [event, measurements, metadata])

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
