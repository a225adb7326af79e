defmodule Honker.Failure do
  @moduledoc """
  A job that failed, as the option `on_error:` of `Honker.Worker` is told: a function of this and the job.

    * `kind` - `:error` (an exception), `:exit`, `:throw`, or `:returned`
    * `reason` - the exception, what it exited with, was thrown or returned
    * `stacktrace` - empty if there is none
    * `message` - the same as text; it is what a dead job has as `last_error`
    * `next` - `:dead`, or in how many seconds about the job is tried again

  A failure is logged as well, as an error if the job is dead and as a warning otherwise, with the metadata `honker_job`,
  `honker_queue`, `honker_attempt` and, as Sentry and the like look for it, `crash_reason`.
  """

  require Logger
  alias Honker.Worker.Options

  defstruct [:kind, :reason, :message, :next, stacktrace: []]

  @type t :: %__MODULE__{
          kind: :error | :exit | :throw | :returned,
          reason: term,
          stacktrace: Exception.stacktrace(),
          message: String.t(),
          next: :dead | non_neg_integer
        }

  @doc false
  # `on` is the database that the job is from, `o` are the options of its worker.
  def report(on, result, {kind, reason, stacktrace}, job, o) do
    next = next(on, result, job, o)
    message = result |> Tuple.to_list() |> List.last()
    failure = %__MODULE__{kind: kind, reason: reason, stacktrace: stacktrace, message: message, next: next}
    log(failure, job)
    # In a process of its own: it may take long, and die.
    if o[:on_error], do: spawn(fn -> contained(o.on_error, failure, job) end)
    failure
  end

  defp next(_on, {:discard, _}, _job, _o), do: :dead
  defp next(_on, _result, %{attempts: n, max_attempts: max}, _o) when n >= max, do: :dead
  defp next(on, {:retry, nil, _}, job, o), do: Options.delay_s(on, o, job)
  defp next(_on, {:retry, delay_s, _}, _job, _o), do: max(delay_s, 0)

  defp log(failure, job) do
    then = if failure.next == :dead, do: "it is dead", else: "next try in about #{failure.next} s"
    attempt = "attempt #{job.attempts} of #{job.max_attempts}"
    level = if failure.next == :dead, do: :error, else: :warning
    metadata = [{:crash_reason, crash_reason(failure)} | metadata(job)]
    Logger.log(level, "honker job #{job.id} of #{job.queue} failed, #{attempt}, #{then}: #{failure.message}", metadata)
  end

  @doc false
  def metadata(job), do: [honker_job: job.id, honker_queue: job.queue, honker_attempt: job.attempts]

  defp crash_reason(%{kind: :throw} = failure), do: {{:nocatch, failure.reason}, failure.stacktrace}
  defp crash_reason(failure), do: {failure.reason, failure.stacktrace}

  defp contained(on_error, failure, job) do
    on_error.(failure, job)
  catch
    kind, reason -> Logger.error("honker: on_error: #{Exception.format(kind, reason, __STACKTRACE__)}")
  end
end
