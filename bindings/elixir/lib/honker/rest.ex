defmodule Honker.Rest do
  @moduledoc false
  # How long to rest before what fails for a reason that may pass is tried again: 0.1 s, twice as long each time, 10 s at most.

  @first_ms 100
  @longest_ms 10_000

  def first_ms, do: @first_ms
  def next_ms(rest_ms), do: min(rest_ms * 2, @longest_ms)
end
