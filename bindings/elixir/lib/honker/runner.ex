defmodule Honker.Runner do
  @moduledoc false
  # A supervised process that runs something on a named database until it is stopped: the scheduler. What fails for a
  # reason that may pass is run again, after 0.1 to 10 seconds, and said once; any other error ends it, which its supervisor
  # sees.

  require Logger
  alias Honker.{Consumer, Database, Native, Status}

  @rest_min_ms 100
  @rest_max_ms 10_000

  # `run` is given the database, and a function that answers whether to stop.
  def child_spec({what, name, run}) do
    %{id: what, start: {__MODULE__, :start_link, [what, name, run]}, shutdown: 10_000}
  end

  def start_link(what, name, run) do
    parent = self()
    Task.start_link(fn -> init(parent, %{what: what, name: name, run: run}) end)
  end

  defp init(parent, runner) do
    Process.flag(:trap_exit, true)
    loop(runner, fn -> stopped?(parent) end, nil, @rest_min_ms)
  end

  defp stopped?(parent) do
    receive do
      {:EXIT, ^parent, reason} -> Process.put(:honker_stopped, reason)
    after
      0 -> :ok
    end

    Process.get(:honker_stopped) != nil
  end

  defp loop(runner, stop, trouble, rest_ms) do
    began = Native.now_ms()
    opened = Database.resolve(runner.name)
    result = with {:ok, db} <- opened, do: runner.run.(db, stop)
    # What has run for a while was no failure to start.
    rest_ms = if Native.now_ms() - began > @rest_max_ms, do: @rest_min_ms, else: rest_ms

    if stop.() do
      exit(Process.get(:honker_stopped))
    else
      said = failed(runner, result, trouble)
      with {:ok, db} when said in [:watcher, :closed_handle] <- opened, do: Database.renew(runner.name, db)
      pause(stop, rest_ms)
      loop(runner, stop, said, min(rest_ms * 2, @rest_max_ms))
    end
  end

  defp failed(runner, {:error, error}, trouble) do
    if not (Status.transient?(error.name) or error.name in [:watcher, :closed_handle]), do: exit(error)

    if error.name != trouble,
      do: Logger.warning("honker #{runner.what} of #{inspect(runner.name)} waits: #{error.message}")

    error.name
  end

  defp pause(stop, left_ms) do
    if left_ms > 0 and not stop.() do
      Consumer.rest()
      pause(stop, left_ms - 100)
    end
  end
end
