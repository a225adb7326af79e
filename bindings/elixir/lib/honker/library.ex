defmodule Honker.Library do
  @moduledoc """
  Finding libhonker, which this package loads when the first database is opened. The first of these that is set is the
  one that has to be there:

    1. the option `library_path:` of `Honker.open/2` (`extension_path:` is an alias)
    2. the environment variable `HONKER_LIBRARY`

  Otherwise the first of these that can be loaded is taken:

    3. the copy in this package's `priv` directory
    4. the one next to the executable of the emulator
    5. the system's

  An emulator loads one libhonker, once. To ask for another afterwards is an error.
  """

  alias Honker.{Error, Native}

  @key {__MODULE__, :loaded}

  @doc """
  Loads libhonker if that has not been done: its `path`, `version`, `abi_version` and `build_info` (JSON).

  The error is named `:library` and says which paths were tried, what is wrong with each, and what to do.
  """
  @spec load(Path.t() | nil) :: {:ok, map} | {:error, Error.t()}
  def load(path \\ nil) do
    case :persistent_term.get(@key, nil) do
      nil -> :global.trans({@key, self()}, fn -> load_first(path) end, [node()])
      loaded -> same(loaded, path)
    end
  end

  defp load_first(path) do
    case :persistent_term.get(@key, nil) do
      nil -> with {:ok, candidates} <- candidates(path), do: try_each(candidates, [])
      loaded -> same(loaded, path)
    end
  end

  defp same(loaded, nil), do: {:ok, loaded}

  defp same(loaded, path) do
    if is_binary(path) and (path == loaded.path or file(path) == file(loaded.path)) do
      {:ok, loaded}
    else
      {:error,
       Error.new(:library, "libhonker is loaded from #{loaded.path} already, and cannot be #{inspect(path)} as well")}
    end
  end

  defp file(path) do
    case File.stat(path) do
      {:ok, stat} -> {stat.major_device, stat.inode}
      {:error, reason} -> {reason, path}
    end
  end

  defp candidates(path) when is_binary(path), do: {:ok, [{path, "the option library_path"}]}
  defp candidates(path) when path != nil, do: Error.invalid("library_path has to be a binary, not #{inspect(path)}")

  defp candidates(nil) do
    case System.get_env("HONKER_LIBRARY", "") do
      "" ->
        {:ok,
         [
           {Path.join(to_string(:code.priv_dir(:honker)), name()), "the package's own"},
           {Path.join([:code.root_dir(), "bin", name()]), "next to the executable"},
           {name(), "the system's"}
         ]}

      path ->
        {:ok, [{path, "HONKER_LIBRARY"}]}
    end
  end

  defp name do
    case :os.type() do
      {:unix, :darwin} -> "libhonker.dylib"
      {:win32, _} -> "honker.dll"
      _ -> "libhonker.so"
    end
  end

  defp try_each([], tried) do
    what = for {path, why, error} <- Enum.reverse(tried), do: "\n  #{path} (#{why}): #{error}"

    {:error,
     Error.new(
       :library,
       "libhonker could not be loaded. Tried:#{what}\n" <>
         "Build it with `cargo build --release -p honker-ffi`, and set HONKER_LIBRARY or pass library_path: to Honker.open."
     )}
  end

  defp try_each([{path, why} | candidates], tried) do
    # Without a slash a name would be looked for in the system's directories.
    absolute = if why == "the system's", do: path, else: Path.expand(path)

    case Native.load(absolute) do
      {:ok, {version, abi_version, build_info}} ->
        loaded = %{path: absolute, version: version, abi_version: abi_version, build_info: build_info}
        :persistent_term.put(@key, loaded)
        {:ok, loaded}

      {:error, error} ->
        try_each(candidates, [{absolute, why, error} | tried])
    end
  rescue
    ArgumentError -> try_each(candidates, [{inspect(path), why, "no path can be that"} | tried])
  end
end
