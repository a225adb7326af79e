defmodule Honker.Step do
  @moduledoc false
  # A part of a job that is done once: what `Honker.Job.step/4` does.

  alias Honker.{Error, Job, JSON, Native, Transaction}

  def run(on, %Job{} = job, name, fun) when is_function(fun, 0), do: once(on, job, name, fun)

  def run(%Transaction{} = tx, %Job{} = job, name, fun) when is_function(fun, 1),
    do: once(tx, job, name, fn -> fun.(tx) end)

  def run(on, %Job{} = job, name, fun) when is_function(fun, 1) do
    # Who has done it before need not wait for the lock.
    with {:ok, nil} <- saved(on, job, name),
         {:ok, {:ok, value}} <- Transaction.transaction(on, &run(&1, job, name, fun)) do
      {:ok, value}
    else
      {:ok, {value}} -> {:ok, value}
      error -> error
    end
  end

  defp once(on, job, name, fun) do
    with {:ok, nil} <- saved(on, job, name),
         {:ok, value} <- returned(fun.()),
         {:ok, text} <- encoded(name, JSON.encode(value)) do
      save(on, job, name, text)
    else
      {:ok, {value}} -> {:ok, value}
      error -> error
    end
  end

  # `{value}`, since a value may be nil.
  defp saved(on, job, name) do
    with :ok <- JSON.check(), do: Native.or_nil(Native.call(on, :step_get, [job.id, name]), &{JSON.decode(&1)})
  end

  defp save(on, job, name, text) do
    case Native.call(on, :step_save, [job.id, job.worker_id, name, text]) do
      {:ok, first} ->
        {:ok, JSON.decode(first)}

      :lost ->
        {:error, Error.new(:lost, "the claim on job #{job.id} was lost before its step #{inspect(name)} was saved")}

      error ->
        encoded(name, error)
    end
  end

  # It has run: another attempt would run it again, and come to the same. `Honker.Handler` discards the job for such an error.
  defp encoded(name, {:error, %Error{name: why} = error}) when why in [:invalid, :too_big, :utf8],
    do: {:error, Error.new(:unencodable, "step #{inspect(name)} has run, and is not saved: #{error.message}")}

  defp encoded(_name, other), do: other

  defp returned(:ok), do: {:ok, nil}
  defp returned({:ok, value}), do: {:ok, value}
  defp returned({:error, _} = error), do: error
  defp returned(:error), do: {:error, :error}
  defp returned(value), do: {:ok, value}
end
