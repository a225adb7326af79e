# JSON by jiffy, for an Elixir that has none of its own.
defmodule Jiffy do
  def encode!(value), do: :jiffy.encode(value)
  def decode!(text), do: :jiffy.decode(text, [:return_maps])
end

Application.put_env(:honker, :json, Jiffy)
