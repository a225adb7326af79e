defmodule Honker.Drain do
  @moduledoc false
  # A supervisor stops its children one after the other. This is the first of them, and tells the others, so that none claims
  # anything more while one after the other ends.

  use GenServer

  def start_link(_), do: GenServer.start_link(__MODULE__, nil)

  @impl true
  def init(nil) do
    Process.flag(:trap_exit, true)
    {:ok, nil}
  end

  @impl true
  def terminate(_reason, nil) do
    [supervisor, above | _] =
      for one <- Process.get(:"$ancestors"), do: if(is_atom(one), do: Process.whereis(one), else: one)

    {:links, links} = Process.info(supervisor, :links)
    for pid <- links, is_pid(pid), pid not in [self(), above], do: send(pid, :honker_drain)
  end
end
