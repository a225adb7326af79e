defmodule Honker.LibraryTest do
  use Honker.Case, async: true

  @script "case Honker.open(Path.join(System.tmp_dir!(), \"never.db\")) do {:error, e} -> IO.puts(e.message) end"

  defp compile(directory, source) do
    File.write!(Path.join(directory, "other.c"), source)
    library = Path.join(directory, "other.so")
    {"", 0} = System.cmd("cc", ["-shared", "-fPIC", "-o", library, Path.join(directory, "other.c")])
    library
  end

  test "a missing library: every path that was tried, and what to do" do
    said = output(emulator(@script, [{"HONKER_LIBRARY", nil}]))
    assert said =~ "priv/libhonker.so (the package's own)"
    assert said =~ "bin/libhonker.so (next to the executable)"
    assert said =~ "libhonker.so (the system's)"
    assert said =~ "set HONKER_LIBRARY or pass library_path:"
  end

  test "what was asked for has to be there" do
    assert output(emulator(@script, [{"HONKER_LIBRARY", "/no/such.so"}])) =~ "/no/such.so (HONKER_LIBRARY)"
    script = String.replace(@script, "never.db\")", "never.db\"), library_path: \"/nor/this.so\"")
    assert output(emulator(script)) =~ "/nor/this.so (the option library_path)"
  end

  test "libraries of another version, and what is no libhonker", %{directory: directory} do
    header = File.read!(Path.join(__DIR__, "../../../include/honker.h"))
    version = ~r/HONKER_ABI_VERSION \(\((\d+) << 16\) \| (\d+)\)/
    [major, minor] = Regex.run(version, header, capture: :all_but_first) |> Enum.map(&String.to_integer/1)

    for {other_major, other_minor} <- [{major - 1, 9}, {major, minor - 1}, {major + 1, 0}] do
      library =
        compile(directory, "unsigned honker_abi_version(void) { return #{other_major} << 16 | #{other_minor}; }")

      said = output(emulator(@script, [{"HONKER_LIBRARY", library}]))
      assert said =~ "its interface is version #{other_major}.#{other_minor}, and this package needs #{major}.#{minor}"
    end

    library = compile(directory, "unsigned honker_abi_version(void) { return #{major} << 16 | #{minor}; }")
    assert output(emulator(@script, [{"HONKER_LIBRARY", library}])) =~ "it has no honker_"
    library = compile(directory, "int nothing;")
    assert output(emulator(@script, [{"HONKER_LIBRARY", library}])) =~ "this is not libhonker"
  end

  test "another library than the one that is loaded is refused, another name of it is not", context do
    {:ok, loaded} = Honker.Library.load()
    link = Path.join(context.directory, "link.so")
    File.ln_s!(loaded.path, link)
    assert {:ok, ^loaded} = Honker.Library.load(link)

    for alias <- [:library_path, :extension_path] do
      assert {:ok, db} = Honker.open(context.path, [{alias, link}])
      Honker.close(db)
    end

    assert {:error, %Error{name: :library, message: message}} = Honker.open(context.path, library_path: "/other.so")
    assert message =~ loaded.path
  end

  test "the module can be loaded again while a database is open" do
    script = """
    path = Path.join(System.tmp_dir!(), "honker-reload-#{System.pid()}-#{System.unique_integer([:positive])}.db")
    {:ok, db} = Honker.open(path)
    {:ok, listener} = Honker.listener(db, "c")
    for _ <- 1..3 do
      :code.purge(Honker.Native)
      {:module, _} = :code.load_file(Honker.Native)
      {:ok, _} = Honker.notify(db, "c", 1)
      {:ok, %{payload: 1}} = Honker.Consumer.next(listener, 5000)
    end
    :ok = Honker.close(db)
    File.rm(path)
    IO.puts("done")
    """

    assert output(emulator(script)) == "done"
  end

  test "compiling without make says what is missing", %{directory: directory} do
    bin = Path.join(directory, "bin")
    File.mkdir_p!(bin)

    for folder <- String.split(System.get_env("PATH"), ":"),
        File.dir?(folder),
        name <- File.ls!(folder),
        name != "make" do
      File.ln_s(Path.join(folder, name), Path.join(bin, name))
    end

    environment = [{"PATH", bin}, {"MIX_ENV", "dev"}, {"MIX_BUILD_PATH", Path.join(directory, "build")}]
    {output, status} = System.cmd(Path.join(bin, "mix"), ["compile"], env: environment, stderr_to_stdout: true)
    assert status != 0
    assert output =~ "make is not installed"
    assert output =~ "it needs make, a C compiler and Erlang's headers"
    refute output =~ "enoent"
  end
end
