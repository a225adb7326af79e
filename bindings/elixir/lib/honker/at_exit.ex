defmodule Honker.AtExit do
  @moduledoc false
  # When a script or a mix task has come to its end, Elixir halts the emulator and stops no supervisor. This is called before
  # that, and ends all workers of the emulator as a stop does: none claims anything more, what runs is finished, and what does
  # not end in time is given back. Schedulers give their lead away. `System.halt` calls nothing of the kind.
  #
  # One hook for each emulator (two, if two workers start at once), however many workers come and go: none can be taken back.

  @key {__MODULE__, :told}

  def tell do
    if not :persistent_term.get(@key, false) do
      :persistent_term.put(@key, true)
      # After the others of this round, and so after the tests of a script that ExUnit runs at its exit.
      System.at_exit(fn _status -> System.at_exit(fn _status -> wind_up() end) end)
    end
  end

  defp wind_up do
    all = for pid <- Process.list(), {module, :init, 1} <- [:proc_lib.translate_initial_call(pid)], do: {module, pid}
    ours = for {module, pid} <- all, module in [Honker.Worker, Honker.Scheduler.Leader], do: pid
    for pid <- ours, do: send(pid, :honker_drain)
    for pid <- ours, do: wait(pid)
  end

  defp wait(pid) do
    GenServer.call(pid, :honker_wind_up, :infinity)
  catch
    :exit, _it_is_gone -> :ok
  end
end
