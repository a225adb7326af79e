defmodule Honker.Worker.Hand do
  @moduledoc false
  # The jobs that a worker has in hand: those that run, each in a process linked to the worker so that none goes on without
  # it, and those that are finished and have to be settled. They are part of the worker's state.

  require Logger
  alias Honker.{Consumer, Error, Event, Failure, Handler, Job, Native, Status}

  @kinds %{ack: 0, retry: 1, discard: 2, snooze: 3, release: 4}

  def new(state) do
    # By the process of each job: %{job, began, result, failure, lost}. `finished`: those of them, running or not, whose result is
    # to be settled. `counts`: what became of those that are settled.
    counts = [done: 0, snoozed: 0, retried: 0, dead: 0, released: 0]
    Map.merge(state, %{running: %{}, finished: [], counts: counts})
  end

  # A job's place is taken until its process has ended.
  def room(state), do: state.options.concurrency - map_size(state.running)

  def start(state, jobs), do: Enum.reduce(jobs, state, &start_one(Job.from_native(&1), &2))

  defp start_one(job, state) do
    worker = self()
    %{options: o, consumer: consumer} = state

    pid =
      spawn_link(fn ->
        Process.put(:honker_worker, consumer)
        Logger.metadata(Failure.metadata(job))
        waited = queue_wait(job)
        Event.emit([:honker, :job, :start], Map.put(waited, :attempts, job.attempts), %{job: job, worker: o.worker_id})
        {result, cause} = Handler.call(o.handler, job)
        send(worker, {:honker_result, self(), result, cause})
      end)

    put_in(state.running[pid], %{job: job, began: System.monotonic_time(), result: nil, failure: nil, lost: nil})
  end

  # Since it was enqueued, which `Honker.Trace` notes.
  defp queue_wait(%{metadata: %{"enqueued_at_ms" => text}}) do
    with {at, ""} <- Integer.parse(text),
         do: %{queue_wait_ms: max(System.os_time(:millisecond) - at, 0)},
         else: (_ -> %{})
  end

  defp queue_wait(_job), do: %{}

  # What the process of a job says of it, or how it ended.
  def hear(state, {:honker_result, pid, result, cause}) when is_map_key(state.running, pid) do
    state = result(state, pid, result, cause)

    # It has nothing more to do, and its place is given away with the same commit.
    receive do
      {:EXIT, ^pid, reason} -> {:ok, ended(state, pid, reason)}
    after
      5 -> {:ok, state}
    end
  end

  def hear(state, {:EXIT, pid, reason}) when is_map_key(state.running, pid), do: {:ok, ended(state, pid, reason)}
  def hear(_state, _message), do: :stray

  # What else has been heard: it is settled in the same commit.
  def drain(state) do
    receive do
      {:honker_result, pid, _, _} = message when is_map_key(state.running, pid) ->
        {:ok, state} = hear(state, message)
        drain(state)
    after
      0 -> state
    end
  end

  defp result(state, pid, result, cause) do
    run = state.running[pid]

    if run.lost || run.result do
      state
    else
      failure = cause && Failure.report(state.db, result, cause, run.job, state.options)
      result = with {:retry, nil, text} <- result, do: {:retry, state.options[:retry_delay_s], text}
      run = %{run | result: result, failure: failure}
      %{state | finished: [run | state.finished], running: %{state.running | pid => run}}
    end
  end

  # The process of a job is gone. How it ended says nothing of a job that has a result: a handler may end it in any way,
  # normally too.
  defp ended(state, pid, reason) do
    text = Handler.text("the process of its handler ended: " <> Exception.format_exit(reason))
    state = result(state, pid, {:retry, nil, text}, {:exit, reason, []})
    %{state | running: Map.delete(state.running, pid)}
  end

  # --- Settling. ---

  def settlements(state), do: Enum.map(state.finished, &settlement/1)

  defp settlement(%{job: job, result: result}) do
    {kind, delay_s, text} =
      case result do
        :ack -> {:ack, 0, ""}
        {:retry, delay_s, text} -> {:retry, delay_s, text}
        {:discard, text} -> {:discard, 0, text}
        {:snooze, delay_s} -> {:snooze, delay_s, ""}
        :release -> {:release, 0, ""}
      end

    {Map.fetch!(@kinds, kind), job.id, job.serial, delay_s, text}
  end

  # A status that is a number is an error's: of the whole turn, and then all of it is given again; or of this settlement,
  # which the file refuses for the reason `why`.
  def settled(state, answer, statuses, why) do
    given = Enum.zip(state.finished, statuses)
    again? = match?({:error, _}, answer) or answer == :closed
    later = for {run, status} when is_integer(status) <- given, again?, do: run

    given
    |> Enum.reject(fn {_run, status} -> is_integer(status) and again? end)
    |> Enum.reduce(%{state | finished: later}, fn {run, status}, state -> settled_one(state, run, status, why) end)
  end

  defp settled_one(state, run, :ok, _why) do
    tell(state, :stop, run, %{})
    %{state | counts: Keyword.update!(state.counts, became(run.result, run.job), &(&1 + 1))}
  end

  defp settled_one(state, run, :lost, _why), do: tell(state, :lost, run, %{})

  # A trigger or a constraint of the user's. It may take a retry, which records the reason; otherwise the job leaves the hand, and
  # comes again when its claim is over.
  defp settled_one(state, run, status, why) do
    error = Error.new(Status.name(status), "the file refuses to have job #{run.job.id} settled: #{why}")
    Logger.error("honker worker #{state.options.worker_id}: #{error.message}", Failure.metadata(run.job))

    if match?({:retry, _, _}, run.result) do
      Consumer.act(state.consumer, :settled, [run.job.id, run.job.serial])
      tell(state, :lost, run, %{reason: :refused, error: error})
    else
      retry = {:retry, state.options[:retry_delay_s], Handler.text(error.message)}
      %{state | finished: [%{run | result: retry} | state.finished]}
    end
  end

  defp became(:ack, _job), do: :done
  defp became({:snooze, _}, _job), do: :snoozed
  defp became(:release, _job), do: :released
  defp became({:discard, _}, _job), do: :dead
  defp became({:retry, _, _}, %{attempts: n, max_attempts: max}), do: if(n >= max, do: :dead, else: :retried)

  defp tell(state, event, run, more) do
    about = %{job: run.job, worker: state.options.worker_id, result: run.result, failure: run.failure}
    Event.emit([:honker, :job, event], %{duration: System.monotonic_time() - run.began}, Map.merge(about, more))
    state
  end

  # --- Losing. ---

  # Jobs in hand are the worker's no more.
  def lose(state, []), do: state

  def lose(state, lost) do
    reasons = Map.new(lost, fn {id, serial, why} -> {{id, serial}, why} end)

    Enum.reduce(state.running, state, fn {pid, run}, state ->
      case reasons[{run.job.id, run.job.serial}] do
        why when why != nil and run.lost == nil and run.result == nil ->
          tell(state, :lost, run, %{reason: why})
          Process.exit(pid, {:shutdown, {:honker, why}})
          put_in(state.running[pid].lost, why)

        _not_lost_or_finished ->
          state
      end
    end)
  end

  # None of them can be settled any more.
  def lose_all(state, why) do
    for run <- state.finished, do: tell(state, :lost, run, %{reason: why})
    lose(%{state | finished: []}, for({_, run} <- state.running, do: {run.job.id, run.job.serial, why}))
  end

  # --- The end. ---

  def exit_all(state, reason), do: for({pid, _} <- state.running, do: Process.exit(pid, reason))

  # Those that had to end are given back, whatever they say of it: they were told to.
  def release_all(%{running: running} = state, _deadline) when running == %{}, do: state

  def release_all(state, deadline) do
    receive do
      {:honker_result, pid, result, cause} when is_map_key(state.running, pid) ->
        # What it did is done; what it could not do is no failed attempt.
        state |> result(pid, if(cause, do: :release, else: result), nil) |> release_all(deadline)

      {:EXIT, pid, reason} when is_map_key(state.running, pid) ->
        state |> result(pid, :release, nil) |> ended(pid, reason) |> release_all(deadline)

      :honker_stop_now when deadline != :infinity ->
        state
    after
      left(deadline) -> state
    end
  end

  def left(:infinity), do: :infinity
  def left(deadline), do: max(deadline - Native.now_ms(), 0)
end
