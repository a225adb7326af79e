defmodule Honker.Handler do
  @moduledoc false
  # The user's code for one job: what it returns and raises, and settling the job accordingly. For `Honker.Worker`,
  # `Honker.Outbox` and `Honker.Testing`.

  alias Honker.{Database, Error, Failure, Job, Native}
  alias Honker.Worker.Options

  # The longest delay in seconds that the library takes; what is more is as good as never.
  @delay_max_s 4_000_000_000

  # The most bytes of an error that are kept.
  @text_max 65_536

  # As `result` in Honker.Event. The delay nil is the worker's own.
  @type result :: :ack | {:retry, integer | nil, String.t()} | {:snooze, integer} | {:discard, String.t()}
  @type cause :: {:error | :exit | :throw | :returned, term, Exception.stacktrace()}

  # Calls it: the result, and what brought it about if that is no success. Only what is known to mean success is success: a
  # job that is done by mistake is lost.
  @spec call((term -> term), term) :: {result, cause | nil}
  def call(fun, argument) do
    returned = fun.(argument)

    case result(returned) do
      done when done == :ack or elem(done, 0) == :snooze -> {done, nil}
      failed -> {failed, {:returned, returned, []}}
    end
  rescue
    error -> raised(:error, error, __STACKTRACE__)
  catch
    kind, reason -> raised(kind, reason, __STACKTRACE__)
  end

  defp raised(kind, reason, stacktrace) do
    {result(kind, reason, stacktrace), {kind, reason, stacktrace}}
  end

  # Of `step!`, and of `{:ok, value} = step(…)`.
  defp result(:error, %Error{name: :unencodable} = error, _stacktrace), do: result({:error, error})
  defp result(:error, %{term: {:error, %Error{name: :unencodable}} = returned}, _stacktrace), do: result(returned)

  defp result(kind, reason, stacktrace) do
    text = kind |> Exception.format(reason, stacktrace) |> String.trim_trailing() |> text()

    # An exception may say when to try again.
    delay_s =
      case reason do
        %{__exception__: true, retry_delay_s: delay_s} when is_number(delay_s) -> seconds(delay_s)
        _ -> nil
      end

    {:retry, delay_s, text}
  end

  # A step of it has run, and would again.
  defp result({:error, %Error{name: :unencodable} = error}), do: {:discard, text(error)}
  defp result({:error, reason}), do: {:retry, nil, text(reason)}
  defp result({what, reason}) when what in [:discard, :fail], do: {:discard, text(reason)}
  defp result(:discard), do: {:discard, "it returned :discard"}
  defp result({:retry, delay_s, reason}) when is_number(delay_s), do: {:retry, seconds(delay_s), text(reason)}
  defp result({:snooze, delay_s}) when is_number(delay_s), do: {:snooze, seconds(delay_s)}
  defp result(done) when is_tuple(done) and tuple_size(done) > 0 and elem(done, 0) == :ok, do: :ack

  defp result(other) when is_tuple(other) or other in [nil, false, :error],
    do: {:retry, nil, "it returned #{inspect(other)}"}

  defp result(_success), do: :ack

  defp seconds(delay_s), do: delay_s |> max(-@delay_max_s) |> min(@delay_max_s) |> ceil()

  @spec text(term) :: String.t()
  def text(reason) when is_binary(reason) do
    # What is cut may end within a character.
    kept = binary_part(reason, 0, min(byte_size(reason), @text_max))
    whole = with {:incomplete, text, _rest} <- :unicode.characters_to_binary(kept), do: text, else: (_ -> kept)
    Job.readable(whole)
  end

  def text(reason) when is_exception(reason), do: text(Exception.message(reason))
  def text(reason), do: text(inspect(reason))

  # Around the handler, the first outermost.
  def around(fun, []), do: fun
  def around(fun, [outer | inner]), do: &outer.(&1, around(fun, inner))

  # Claims the next job that is due, runs it in the calling process and settles it: the job, and what became of it, which is
  # `:lost` if it was somebody else's by then; nil if there is none. `o` are options of a worker.
  @spec run_one(Database.named(), map) :: {:ok, {Job.t(), result | :lost} | nil} | {:error, Error.t()}
  def run_one(on, o) do
    with {:ok, [job]} <- Enum.find_value(o.queues, {:ok, []}, &claimed(on, &1, o)),
         do: run_one(on, o, job),
         else: (none_or_error -> Native.or_nil(none_or_error, fn [] -> nil end))
  end

  defp claimed(on, {queue, _, _}, o) do
    claimed = Native.call(on, :claim, [queue, o.worker_id, 1, o.visibility_timeout_s])
    with {:ok, []} <- Native.list(claimed, &Job.from_native/1), do: nil
  end

  defp run_one(on, o, job) do
    {result, cause} = call(o.handler, job)
    if cause, do: Failure.report(on, result, cause, job, o)

    settled =
      case result do
        :ack -> Job.ack(on, job)
        {:retry, delay_s, text} -> Job.retry(on, job, delay_s || Options.delay_s(on, o, job), text)
        {:discard, text} -> Job.fail(on, job, text)
        {:snooze, delay_s} -> Job.release(on, job, delay_s)
      end

    with {:ok, settled?} <- settled, do: {:ok, {job, if(settled?, do: result, else: :lost)}}
  end
end
