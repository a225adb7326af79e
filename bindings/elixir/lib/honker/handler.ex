defmodule Honker.Handler do
  @moduledoc false
  # The user's code for one job: what it returns and raises, and settling the job accordingly. For `Honker.Worker`,
  # `Honker.Outbox` and `Honker.Testing`.

  alias Honker.{Error, Job, Status}

  # How long settling rests while somebody keeps the file locked: longer each time.
  @rest_min_ms 50
  @rest_max_ms 1000

  # The longest delay in seconds that the library takes; what is more is as good as never.
  @delay_max_s 4_000_000_000

  # The most bytes of an error that are kept.
  @text_max 65_536

  @type outcome ::
          :ok
          | {:error, String.t()}
          | {:retry, integer, String.t()}
          | {:snooze, integer}
          | {:discard, String.t()}
  @type cause :: {:error | :exit | :throw | :returned, term, Exception.stacktrace()}

  # Calls it: the outcome, and what brought it about if that is no success. Only what is known to mean success is success: a
  # job that is done by mistake is lost.
  @spec call((term -> term), term) :: {outcome, cause | nil}
  def call(fun, argument) do
    returned = fun.(argument)

    case outcome(returned) do
      done when done == :ok or elem(done, 0) == :snooze -> {done, nil}
      failed -> {failed, {:returned, returned, []}}
    end
  rescue
    error -> raised(:error, error, __STACKTRACE__)
  catch
    kind, reason -> raised(kind, reason, __STACKTRACE__)
  end

  defp raised(kind, reason, stacktrace) do
    text = kind |> Exception.format(reason, stacktrace) |> String.trim_trailing() |> text()

    case reason do
      # An exception may say when to try again.
      %{__exception__: true, retry_delay_s: delay_s} when is_number(delay_s) ->
        {{:retry, seconds(delay_s), text}, {kind, reason, stacktrace}}

      _ ->
        {{:error, text}, {kind, reason, stacktrace}}
    end
  end

  defp outcome({:error, reason}), do: {:error, text(reason)}
  defp outcome({what, reason}) when what in [:discard, :fail], do: {:discard, text(reason)}
  defp outcome(:discard), do: {:discard, "it returned :discard"}
  defp outcome({:retry, delay_s, reason}) when is_number(delay_s), do: {:retry, seconds(delay_s), text(reason)}
  defp outcome({:snooze, delay_s}) when is_number(delay_s), do: {:snooze, seconds(delay_s)}

  defp outcome(done) when is_tuple(done) and tuple_size(done) > 0 and elem(done, 0) == :ok, do: :ok

  defp outcome(other) when is_tuple(other) or other in [nil, false, :error],
    do: {:error, "it returned #{inspect(other)}"}

  defp outcome(_success), do: :ok

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

  # Settles with `fun`, and again while somebody keeps it from happening, unless it is to stop: what was done would be done
  # again. It ends at the latest when the claim is lost, which is an answer.
  @spec settle((() -> answer), (() -> boolean)) :: answer when answer: term
  def settle(fun, stop \\ fn -> false end), do: settle(fun, stop, @rest_min_ms)

  defp settle(fun, stop, rest_ms) do
    case fun.() do
      {:error, %Error{name: name}} = error ->
        if not Status.transient?(name) or stop.() do
          error
        else
          Process.sleep(rest_ms)
          settle(fun, stop, min(rest_ms * 2, @rest_max_ms))
        end

      settled ->
        settled
    end
  end
end
