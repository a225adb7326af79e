defmodule Honker.ExamplesTest do
  # Not beside others: examples change the current directory, and print.
  use ExUnit.Case, async: false
  import ExUnit.CaptureIO

  @examples Path.wildcard(Path.join(__DIR__, "../examples/*.exs"))
  @readme Path.join(__DIR__, "../README.md")

  # That of Postgres is run by the tests of Postgres.
  for path <- @examples, Path.basename(path) != "postgres.exs" do
    @tag :tmp_dir
    test "#{Path.basename(path)} prints what it says it does", %{tmp_dir: directory} do
      {:ok, library} = Honker.Library.load()
      File.ln_s!(library.path, Path.join(directory, "libhonker.so"))
      expected = for "#=> " <> line <- String.split(File.read!(unquote(path)), "\n"), do: line
      assert expected != []

      printed =
        File.cd!(directory, fn ->
          capture_io(fn ->
            {modules, _} = Enum.split_with(Code.require_file(unquote(path)), &is_tuple/1)
            for {module, _} <- modules, do: {:code.purge(module), :code.delete(module)}
          end)
        end)

      assert String.split(printed, "\n", trim: true) == expected
    end
  end

  test "every sample of the README that does something stands in an example" do
    readme = File.read!(@readme)

    assert Regex.scan(~r/^## (.*)$/m, readme, capture: :all_but_first) |> List.flatten() ==
             ["Install", "First queue", "Concepts", "Queue features", "On Postgres", "Threads and shutdown", "Versions"]

    examples = for path <- @examples, do: squeeze(File.read!(path))
    samples = for [sample] <- Regex.scan(~r/^```elixir\n(.*?)^```$/ms, readme, capture: :all_but_first), do: sample
    assert length(samples) > 10

    for sample <- samples, not (sample =~ "config :honker" or sample =~ "{:honker, ") do
      assert Enum.any?(examples, &String.contains?(&1, squeeze(sample))), "no example has this sample:\n#{sample}"
    end
  end

  # They stand in the documentation of honker, and so in programs.
  @tag :tmp_dir
  test "the published snippets run as they are printed", %{tmp_dir: directory} do
    {:ok, library} = Honker.Library.load()
    File.ln_s!(library.path, Path.join(directory, "libhonker.so"))

    snippets = ~S"""
    {:ok, db} = Honker.open("app.db", extension_path: "./libhonker.so")
    {:ok, _id} = Honker.Queue.enqueue(db, "greetings", %{name: "world"})
    {:ok, job} = Honker.Queue.claim_one(db, "greetings", "worker-1")
    IO.puts("hello, #{job.payload["name"]}!")
    Honker.Job.ack(db, job)

    {:ok, :ok} = Honker.transaction(db, &Honker.execute(&1, "CREATE TABLE orders (id INTEGER, total INTEGER, customer_id TEXT)"))

    Honker.Transaction.transaction(db, fn tx ->
      Honker.Transaction.execute(tx, "INSERT INTO orders (id, total, customer_id) VALUES (?, ?, ?)", [42, 9900, "alice"])
      Honker.Queue.enqueue_tx(tx, "emails", %{order_id: 42, email_type: "confirmation"}, [], [])
    end)

    {:ok, [[42]]} = Honker.query(db, "SELECT id FROM orders")
    {:ok, %{"pending" => 1}} = Honker.Queue.stats(db, "emails")
    """

    assert File.cd!(directory, fn -> capture_io(fn -> Code.eval_string(snippets) end) end) == "hello, world!\n"
  end

  # Indentation does not count.
  defp squeeze(text), do: text |> String.split("\n") |> Enum.map_join("\n", &String.trim/1)
end
