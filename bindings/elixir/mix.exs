defmodule Mix.Tasks.Compile.HonkerNif do
  @moduledoc false
  # Compiles the NIF with make. elixir_make would do, but this is all of it that is needed, and needs nothing else.
  use Mix.Task.Compiler

  @impl true
  def run(_args) do
    priv = Path.join(Mix.Project.app_path(), "priv")

    environment = [
      {"PRIV", priv},
      {"ERTS_INCLUDE_DIR", Path.join([:code.root_dir(), "usr", "include"])}
    ]

    case make(environment) do
      {"", 0} ->
        :noop

      {_output, 0} ->
        :ok

      {output, _status} ->
        Mix.shell().error(output)
        Mix.shell().error("honker's NIF could not be compiled: it needs make, a C compiler and Erlang's headers")
        {:error, []}
    end
  end

  defp make(environment) do
    if System.find_executable("make"),
      do: System.cmd("make", ["--silent"], env: environment, stderr_to_stdout: true),
      else: {"make is not installed, or not in PATH", 127}
  end

  @impl true
  def clean, do: File.rm(Path.join([Mix.Project.app_path(), "priv", "honker_nif.so"]))
end

defmodule Honker.MixProject do
  use Mix.Project

  @version "0.1.0"
  @source "https://github.com/russellromney/honker"

  def project do
    [
      app: :honker,
      version: @version,
      elixir: "~> 1.14",
      compilers: [:honker_nif] ++ Mix.compilers(),
      elixirc_paths: if(Mix.env() == :test, do: ["lib", "test/support"], else: ["lib"]),
      description: "Durable job queues, event streams, notifications and schedules in your SQLite file",
      package: package(),
      source_url: @source,
      docs: [main: "readme", extras: ["README.md"]],
      aliases: ["hex.build": [&copy_files/1, "hex.build"], "hex.publish": [&copy_files/1, "hex.publish"]],
      xref: [exclude: [:jiffy]],
      deps: []
    ]
  end

  def application, do: [extra_applications: [:logger]]

  defp package do
    [
      licenses: ["MIT", "Apache-2.0"],
      links: %{"GitHub" => @source},
      files: ~w(lib c_src Makefile mix.exs .formatter.exs README.md LICENSE-MIT LICENSE-APACHE priv)
    ]
  end

  # In the repository these stand where all packages find them; a package has its own copies.
  defp copy_files(_args) do
    File.mkdir_p!("c_src/include")
    File.cp!("../../include/honker.h", "c_src/include/honker.h")
    for license <- ["LICENSE-MIT", "LICENSE-APACHE"], do: File.cp!("../../" <> license, license)
  end
end
