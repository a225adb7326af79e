defmodule Consumer do
  @moduledoc false

  defmodule JSON do
    @moduledoc false
    def encode!(value), do: :jiffy.encode(value, [:use_nil])
    def decode!(text), do: :jiffy.decode(text, [:return_maps, :use_nil])
  end

  def main do
    Application.put_env(:honker, :json, JSON)
    {:ok, db} = Honker.open("app.db")
    {:ok, nil} = Honker.Queue.claim_one(db, "numbers", "w")
    IO.puts("not yet")

    {:ok, _} =
      Honker.Worker.start_link(db: db, queue: "numbers", handler: &Honker.save_result(db, &1.id, "#{&1.payload * 2}"))

    {:ok, id} = Honker.Queue.enqueue(db, "numbers", 3)
    {:ok, six} = Honker.wait_result(db, id, 10_000)
    IO.puts(six)
  end
end
