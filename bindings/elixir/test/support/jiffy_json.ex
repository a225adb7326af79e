defmodule Honker.Test.JSON do
  @moduledoc false
  # Debian's erlang-jiffy as a JSON module, for an Elixir and an OTP that have none.

  def encode!(value), do: :jiffy.encode(value, [:use_nil])
  def decode!(text), do: :jiffy.decode(text, [:return_maps, :use_nil])
end
