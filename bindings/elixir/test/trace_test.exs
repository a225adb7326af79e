# What opentelemetry_api and telemetry have under these names, as far as this package uses it: neither can be had here.
if not Code.ensure_loaded?(:otel_propagator_text_map) do
  IO.puts("\nSKIPPED elixir: opentelemetry_api is not installed; a module with its two functions stands for it")

  defmodule :otel_propagator_text_map do
    def inject(carrier), do: if(trace = Process.get(:trace), do: [{"traceparent", trace} | carrier], else: carrier)
    def extract(carrier), do: Process.put(:trace, List.keyfind(carrier, "traceparent", 0, {nil, nil}) |> elem(1))
  end
end

if not Code.ensure_loaded?(:telemetry) do
  IO.puts("\nSKIPPED elixir: telemetry is not installed; a module with its function execute/3 stands for it")

  defmodule :telemetry do
    def execute(event, measurements, metadata) do
      with {:ok, pid} <- Application.fetch_env(:honker, :telemetry_test), do: send(pid, {event, measurements, metadata})
      :ok
    end
  end
end

defmodule Honker.TraceTest do
  use Honker.Case, async: false

  setup do
    Application.put_env(:honker, :telemetry_test, self())
    on_exit(fn -> Application.delete_env(:honker, :telemetry_test) end)
  end

  test "the trace goes with the job, and how long it waited is told", %{path: path} do
    {:ok, db} = Honker.open(path, around_enqueue: &Honker.Trace.around_enqueue/2)
    test = self()
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    Process.put(:trace, trace)
    {:ok, _} = Queue.enqueue(db, "q", 1, metadata: %{tenant: "t1"})
    Process.delete(:trace)
    {:ok, _} = Queue.enqueue(db, "q", 2)

    start_supervised!(
      {Worker,
       db: db,
       queue: "q",
       around_job: &Honker.Trace.around_job/2,
       handler: fn job -> send(test, {:ran, job.payload, Process.get(:trace), job.metadata["tenant"]}) && :ok end}
    )

    assert_receive {:ran, 1, ^trace, "t1"}
    assert_receive {:ran, 2, nil, nil}
    assert_receive {[:honker, :enqueue], %{count: 1}, %{results: [enqueued: _]}}
    assert_receive {[:honker, :job, :start], %{attempts: 1, queue_wait_ms: wait}, %{job: %Job{payload: 1}}}
    assert wait >= 0
    assert_receive {[:honker, :job, :stop], %{duration: _}, %{result: :ack}}
    Honker.close(db)
  end
end
