defmodule Honker.Until do
  @moduledoc false
  # Has a process run until a function says so: for `Honker.Outbox.run/3` and `Honker.Scheduler.run/3`.

  alias Honker.Error

  # How often it is asked.
  @stop_ms 100

  def run(started, stop) do
    with {:ok, pid} <- started do
      try do
        run(pid, Process.monitor(pid), stop)
      after
        end_it(pid)
      end
    end
  end

  defp run(pid, monitor, stop) do
    if stop.() do
      end_it(pid)
    else
      receive do
        {:DOWN, ^monitor, _, _, {:shutdown, %Error{} = error}} -> {:error, error}
        {:DOWN, ^monitor, _, _, %Error{} = error} -> {:error, error}
        {:DOWN, ^monitor, _, _, :normal} -> :ok
        {:DOWN, ^monitor, _, _, reason} -> exit(reason)
      after
        @stop_ms -> run(pid, monitor, stop)
      end
    end
  end

  def end_it(pid) do
    GenServer.stop(pid)
  catch
    :exit, _gone -> :ok
  end
end
