defmodule Honker.Precompiled do
  @moduledoc false
  # The NIF and libhonker that were compiled for a release. The package has the sums of their tarballs in checksums.exs; a
  # checkout has no such file, and compiles.

  @releases "https://github.com/russellromney/honker/releases/download"

  # Puts them into `priv`: :noop if they are there, :ok, :none if they have to be compiled, or an error.
  def install(priv, version) do
    with {:ok, sums} <- checksums(),
         place when place != "none" <- System.get_env("HONKER_PRECOMPILED", ""),
         tarball = "honker-nif-#{version}-#{platform()}.tar.gz",
         {:ok, sum} <- Map.fetch(sums, tarball) do
      if File.read(stamp(priv)) == {:ok, sum}, do: :noop, else: install(priv, version, tarball, sum, place)
    else
      _ -> :none
    end
  end

  defp install(priv, version, tarball, sum, place) do
    applications([:crypto])

    case content(place, version, tarball, sum) do
      {:ok, content} ->
        # An emulator that runs has the old files mapped, and keeps them: they are not written over.
        remove(priv)
        File.mkdir_p!(priv)
        :ok = :erl_tar.extract({:binary, content}, [:compressed, cwd: String.to_charlist(priv)])
        File.write!(stamp(priv), sum)
        :ok

      {:wrong, where} ->
        {:error, "#{where} is not what was released: its SHA-256 is not #{sum}"}

      {:unavailable, why} ->
        Mix.shell().info("honker: #{tarball} cannot be had (#{why}); compiling the NIF")
        :none
    end
  end

  # What was compiled here stays, but for the NIF: its libhonker may be the user's own.
  def remove(priv) do
    if installed?(priv),
      do: for(file <- ["libhonker.so", "libhonker.dylib", "precompiled"], do: File.rm(Path.join(priv, file)))

    File.rm(Path.join(priv, "honker_nif.so"))
    :ok
  end

  def installed?(priv), do: File.exists?(stamp(priv))

  defp stamp(priv), do: Path.join(priv, "precompiled")

  defp checksums do
    if File.regular?("checksums.exs"), do: {:ok, "checksums.exs" |> Code.eval_file() |> elem(0)}, else: :none
  end

  # From the folder that is named, else from the user's cache, else from the release.
  defp content("", version, tarball, sum) do
    cached = Path.join(to_string(:filename.basedir(:user_cache, "honker")), tarball)

    with {:ok, content} <- File.read(cached), true <- sum == sum(content) do
      {:ok, content}
    else
      _ ->
        url = "#{@releases}/v#{version}/#{tarball}"

        with {:ok, content} <- download(url), {:ok, content} <- checked(content, sum, url) do
          # A cache that cannot be written is no reason to fail.
          with :ok <- File.mkdir_p(Path.dirname(cached)), do: File.write(cached, content)
          {:ok, content}
        end
    end
  end

  defp content(folder, _version, tarball, sum) do
    path = Path.join(folder, tarball)

    case File.read(path) do
      {:ok, content} -> checked(content, sum, path)
      {:error, reason} -> {:unavailable, "#{path}: #{:file.format_error(reason)}"}
    end
  end

  defp checked(content, sum, where), do: if(sum == sum(content), do: {:ok, content}, else: {:wrong, where})
  defp sum(content), do: Base.encode16(:crypto.hash(:sha256, content), case: :lower)

  # From 1.15 on Mix takes from the code path what a project does not say that it needs.
  defp applications(names) do
    if function_exported?(Mix, :ensure_application!, 1), do: Enum.each(names, &apply(Mix, :ensure_application!, [&1]))
  end

  defp download(url) do
    applications([:inets, :ssl, :public_key])
    {:ok, _} = Application.ensure_all_started([:inets, :ssl])

    tls = [
      verify: :verify_peer,
      cacerts: :public_key.cacerts_get(),
      depth: 4,
      customize_hostname_check: [match_fun: :public_key.pkix_verify_hostname_match_fun(:https)]
    ]

    case :httpc.request(:get, {String.to_charlist(url), []}, [ssl: tls, timeout: 120_000], body_format: :binary) do
      {:ok, {{_, 200, _}, _, content}} -> {:ok, content}
      {:ok, {{_, status, _}, _, _}} -> {:unavailable, "#{url}: status #{status}"}
      {:error, reason} -> {:unavailable, "#{url}: #{inspect(reason)}"}
    end
  rescue
    error -> {:unavailable, "#{url}: #{Exception.message(error)}"}
  end

  # As the tarballs are called: x86_64-linux-gnu, aarch64-linux-musl, aarch64-macos.
  def platform, do: platform(to_string(:erlang.system_info(:system_architecture)), :os.type())

  def platform(architecture, os) do
    cpu = architecture |> String.split("-") |> hd() |> String.replace("arm64", "aarch64")

    case os do
      {:unix, :linux} -> "#{cpu}-linux-#{if architecture =~ "musl", do: "musl", else: "gnu"}"
      {:unix, :darwin} -> "#{cpu}-macos"
      {_, name} -> "#{cpu}-#{name}"
    end
  end
end

defmodule Mix.Tasks.Compile.HonkerNif do
  @moduledoc false
  # Takes the NIF from the release, or compiles it with make. elixir_make and its like would do, but this is all of it
  # that is needed, and needs nothing else.
  use Mix.Task.Compiler

  @impl true
  def run(_args) do
    priv = Path.join(Mix.Project.app_path(), "priv")

    case Honker.Precompiled.install(priv, Mix.Project.config()[:version]) do
      :none ->
        # To make, what was released would be up to date.
        if Honker.Precompiled.installed?(priv), do: Honker.Precompiled.remove(priv)
        compile(priv)

      {:error, why} ->
        Mix.shell().error("honker: #{why}")
        {:error, []}

      done ->
        done
    end
  end

  defp compile(priv) do
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
  def clean, do: Honker.Precompiled.remove(Path.join(Mix.Project.app_path(), "priv"))
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
      xref: [exclude: [:jiffy]],
      deps: []
    ]
  end

  def application, do: [extra_applications: [:logger]]

  defp package do
    [
      licenses: ["MIT", "Apache-2.0"],
      links: %{"GitHub" => @source},
      files: ~w(lib c_src Makefile mix.exs .formatter.exs README.md LICENSE-MIT LICENSE-APACHE checksums.exs)
    ]
  end
end
