defmodule Honker.Raw do
  @moduledoc "Text to be stored as it is, in place of a value that is encoded. Made by `Honker.raw/1`."
  @enforce_keys [:text]
  defstruct [:text]
  @type t :: %__MODULE__{text: binary}
end

defmodule Honker.JSON do
  @moduledoc """
  How payloads become text and back: a module with `encode!/1`, which returns a binary or iodata, and `decode!/1`.

      config :honker, json: MyApp.JSON

  Without that it is Elixir's own `JSON` (1.18), OTP's `:json` (27), or `Jason`, whichever is there first. Before these two
  versions an application has to have `{:jason, "~> 1.4"}` among its dependencies, or to configure a module. Objects have to
  be decoded to maps with binaries as keys, and `null` to `nil`.

  Text that is stored but is not JSON is given as it is, and empty text as `nil`. To store text as it is, pass
  `Honker.raw(text)` in place of a value.
  """

  alias Honker.Error

  @doc false
  def encode(%Honker.Raw{text: text}), do: {:ok, text}

  def encode(value) do
    case module() do
      nil ->
        {:error, no_module()}

      module ->
        try do
          {:ok, IO.iodata_to_binary(module.encode!(value))}
        catch
          kind, reason ->
            why = Exception.format_banner(kind, reason, __STACKTRACE__)
            Error.invalid("this value cannot be encoded as JSON: #{String.slice(why, 0, 500)}")
        end
    end
  end

  @doc false
  def decode(""), do: nil

  def decode(text) do
    module = module() || raise(no_module())

    try do
      module.decode!(text)
    catch
      _kind, _not_json -> text
    end
  end

  # Rows that libhonker gives as JSON: a payload in them is text, JSON or not.
  @doc false
  def decode_rows(rows) when is_list(rows), do: Enum.map(rows, &decode_rows/1)
  def decode_rows(%{"payload" => text} = row), do: row |> Map.put("raw", text) |> Map.put("payload", decode(text))
  def decode_rows(row), do: row

  # Asked before anything is claimed: a job that is claimed and cannot be decoded has lost an attempt.
  @doc false
  @spec check() :: :ok | {:error, Error.t()}
  def check do
    module = module()

    cond do
      is_nil(module) ->
        {:error, no_module()}

      Code.ensure_loaded?(module) and function_exported?(module, :encode!, 1) and
          function_exported?(module, :decode!, 1) ->
        :ok

      true ->
        {:error,
         Error.new(:unsupported, "config :honker, json: #{inspect(module)} is no module with encode!/1 and decode!/1")}
    end
  end

  defp no_module do
    Error.new(
      :unsupported,
      "there is no JSON module: before Elixir 1.18 and OTP 27 add {:jason, \"~> 1.4\"} to the dependencies in mix.exs, " <>
        "or configure another one (config :honker, json: Module), see Honker.JSON"
    )
  end

  defp module, do: Application.get_env(:honker, :json) || found()

  # What is needed, and what has encode!/1 and decode!/1 then.
  @modules [{JSON, JSON}, {:json, Honker.JSON.OTP}, {Jason, Jason}]

  defp found do
    with nil <- :persistent_term.get(__MODULE__, nil),
         {_, module} <- Enum.find(@modules, fn {needed, _} -> Code.ensure_loaded?(needed) end) do
      :persistent_term.put(__MODULE__, module)
      module
    end
  end
end

defmodule Honker.JSON.OTP do
  @moduledoc false
  # OTP's json, whose null is an atom of its own.

  def encode!(value) do
    encoder = fn
      nil, _encoder -> "null"
      other, encoder -> apply(:json, :encode_value, [other, encoder])
    end

    apply(:json, :encode, [value, encoder])
  end

  def decode!(text) do
    {value, :ok, rest} = apply(:json, :decode, [text, :ok, %{null: nil}])
    if String.trim(rest) == "", do: value, else: raise(ArgumentError, "there is something behind the JSON")
  end
end
