defmodule Honker.Testing do
  @moduledoc """
  For tests of applications that use honker: a database for the test alone, jobs that run here and now, what was enqueued, and
  a clock that goes where the test wants.

      setup do
        {:ok, db: Honker.Testing.open!()}
      end

      test "who signs up is sent a mail", %{db: db} do
        MyApp.sign_up(db, "alice")
        Honker.Testing.assert_enqueued(db, job: MyApp.SendEmail, args: %{to: "alice"})
        assert [{_job, :ack}] = Honker.Testing.run_due(db, jobs: [MyApp.SendEmail])
      end

  Tests may run beside each other, each with its own database.
  """

  alias Honker.{Database, Error, Handler, Job, Postgres, Queue, Transaction, Worker}

  # Whatever settles a job so that it is due again at once would go on for ever.
  @runs_max 10_000

  # What a clock that is moved leaves behind: the times in the file.
  @times [
    _honker_live: ~w(run_at created_at claim_expires_at expires_at),
    _honker_dead: ~w(run_at created_at died_at),
    _honker_locks: ~w(expires_at),
    _honker_results: ~w(created_at expires_at),
    _honker_scheduler_tasks: ~w(next_fire_at),
    _honker_notifications: ~w(created_at),
    _honker_stream: ~w(created_at),
    _honker_unique: ~w(until),
    _honker_blocked: ~w(run_at expires_at),
    _honker_done: ~w(run_at created_at finished_at),
    _honker_batches: ~w(sealed_at finished_at)
  ]

  @doc """
  Opens a database in a directory of its own. In a test of ExUnit it is closed and deleted with the test; elsewhere `close/1`
  does that. Options as for `Honker.open/2`, and `name:`, by which the code that is tested knows it (`Honker.start_link/1`), until
  it is closed: such tests do not run beside each other.
  """
  @spec open!(keyword) :: Database.t()
  def open!(opts \\ []) do
    {name, opts} = Keyword.pop(opts, :name)

    if name && match?({:ok, _}, Database.resolve(name)),
      do: raise(Error.new(:misuse, "#{inspect(name)} is open already: by the application, or by another test"))

    unique = "#{System.pid()}-#{System.unique_integer([:positive])}"
    path = Path.join([System.tmp_dir!(), "honker-testing-#{unique}", "test.db"])
    File.mkdir_p!(Path.dirname(path))
    db = Honker.open!(path, opts)
    if name, do: Database.put(name, {:ok, db})
    on_exit(fn -> close(db, name) end)
    db
  end

  # There may be no ExUnit, or the process may be no test.
  defp on_exit(fun) do
    if function_exported?(ExUnit.Callbacks, :on_exit, 1), do: apply(ExUnit.Callbacks, :on_exit, [fun])
  rescue
    _no_test -> :ok
  end

  @doc "Closes a database of `open!/1`, which had this name, and deletes it."
  @spec close(Database.t(), atom) :: :ok
  def close(%Database{} = db, name \\ nil) do
    if name, do: Database.put(name, nil)
    Honker.close(db)
    File.rm_rf!(Path.dirname(db.path))
    :ok
  end

  @doc """
  Runs the jobs that are due, in the calling process, one after the other, until none is left: each with what became of it, as
  `:result` in `Honker.Event`, `{:retry, nil, text}` for the worker's own pause, `:lost` if its handler has settled it. Jobs that they enqueue are run too; what is
  delayed is not: `travel/2`.

  Options are those of `Honker.Worker`, without `db:`: `jobs:`, or `handler:` and `queue:`, and what is around them.
  """
  @spec run_due(Database.named(), keyword) :: [{Job.t(), term}]
  def run_due(on, opts) do
    case Worker.Options.read([db: on] ++ opts) do
      {:ok, o} -> run(on, o, [], @runs_max)
      {:error, error} -> raise error
    end
  end

  defp run(_on, _o, _done, 0),
    do: raise("#{@runs_max} jobs were run, and still some are due: does one come again at once?")

  defp run(on, o, done, left) do
    case Handler.run_one(on, o) do
      {:ok, nil} -> Enum.reverse(done)
      {:ok, one} -> run(on, o, [one | done], left - 1)
      {:error, error} -> raise error
    end
  end

  @doc """
  What `perform/1` of a module that uses `Honker.Job` returns for these arguments, which go through JSON and `decode/1` first, as on
  their way through the file; `{:discard, reason}` if they cannot be decoded. Options as for its `enqueue`. Nothing is stored, so that
  steps (`Honker.Job.step/4`) want `run_due/2`.
  """
  @spec perform_job(module, term, keyword) :: term
  def perform_job(module, args, opts \\ []) do
    {queue, payload, opts} = module.new(args, opts)
    raw = encoded(payload)
    job = %Job{id: 0, queue: queue, worker_id: "test", payload: Honker.JSON.decode(raw), raw: raw, attempts: 1}

    case Job.handler([module]) do
      {:ok, handler, _} ->
        handler.(%{job | max_attempts: opts[:max_attempts], metadata: normal(opts[:metadata] || %{})})

      {:error, error} ->
        raise error
    end
  end

  @doc """
  The jobs in the file that are as `filter` says, oldest first, as `Honker.Queue.get_job/2` has them. `job:`, a module that uses
  `Honker.Job`, and `args:`; `queue:`, `payload:`, and every other key of a job. A map has to be part of what the job has; all
  else has to be equal.
  """
  @spec enqueued(Database.named(), keyword) :: [map]
  def enqueued(on, filter \\ []) do
    wanted = filter |> of_job() |> Map.new(fn {key, value} -> {to_string(key), normal(value)} end)
    ids = Honker.query!(on, "SELECT id FROM #{Postgres.table(on, :_honker_live)} ORDER BY id")
    for [id] <- ids, job = Queue.get_job!(on, id), includes?(job, wanted), do: job
  end

  defp of_job(filter) do
    case Keyword.pop(filter, :job) do
      {nil, filter} ->
        filter

      {module, filter} ->
        {queue, name} = module.__honker__()

        payload =
          case Keyword.fetch(filter, :args) do
            {:ok, args} -> [payload: Job.envelope(name, args)]
            :error when name == nil -> []
            :error -> [payload: %{"__honker_task__" => %{"task" => name}}]
          end

        [queue: queue] ++ payload ++ Keyword.delete(filter, :args)
    end
  end

  # As it comes out of the file.
  defp normal(value), do: value |> encoded() |> Honker.JSON.decode()
  defp encoded(value), do: Honker.Bang.value(Honker.JSON.encode(value))

  defp includes?(has, wanted) when is_map(has) and is_map(wanted),
    do: Enum.all?(wanted, fn {key, value} -> is_map_key(has, key) and includes?(has[key], value) end)

  defp includes?(has, wanted), do: has == wanted

  @doc "The first job that is as `filter` says (`enqueued/2`); without one the test fails, and is told what there is."
  @spec assert_enqueued(Database.named(), keyword) :: map
  def assert_enqueued(on, filter) do
    case enqueued(on, filter) do
      [job | _] -> job
      [] -> fail("no job with #{inspect(filter)}", on)
    end
  end

  @doc "The test fails if a job is as `filter` says."
  @spec refute_enqueued(Database.named(), keyword) :: :ok
  def refute_enqueued(on, filter),
    do: if(enqueued(on, filter) == [], do: :ok, else: fail("a job with #{inspect(filter)}", on))

  defp fail(what, on) do
    jobs = for job <- enqueued(on), do: "\n  " <> inspect(Map.take(job, ~w(id queue payload run_at state metadata)))
    message = "there is #{what}, among these #{length(jobs)}:#{jobs}"
    exception = if Code.ensure_loaded?(ExUnit.AssertionError), do: ExUnit.AssertionError, else: RuntimeError
    raise exception, message: message
  end

  @doc """
  Goes so many seconds into the future: all times in the file (of jobs, claims, locks, results, schedules) become so much
  earlier. The clock of the machine stays as it is, and so do the windows of rate limits.
  """
  @spec travel(Database.named(), integer) :: :ok
  def travel(on, seconds) when is_integer(seconds) do
    result =
      Honker.transaction(on, fn tx ->
        for {table, columns} <- @times do
          set = Enum.map_join(columns, ", ", &"#{&1} = #{&1} - ?1")
          Transaction.update!(tx, "UPDATE #{Postgres.table(on, table)} SET #{set}", [seconds])
        end
      end)

    case result do
      {:ok, _} -> :ok
      {:error, %Error{} = error} -> raise error
    end
  end
end
