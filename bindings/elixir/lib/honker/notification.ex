defmodule Honker.Notification do
  @moduledoc """
  What was sent with `Honker.notify/3`: `id`, `channel`, `payload` (decoded), `created_at` (Unix seconds) and `raw`, the
  payload as it is stored.
  """

  @enforce_keys [:id, :channel]
  defstruct [:id, :channel, :payload, :created_at, :raw]
  @type t :: %__MODULE__{id: integer, channel: String.t(), payload: term, created_at: integer, raw: binary}

  @doc false
  def from_native({id, channel, raw, created_at}) do
    %__MODULE__{id: id, channel: channel, payload: Honker.JSON.decode(raw), created_at: created_at, raw: raw}
  end
end
