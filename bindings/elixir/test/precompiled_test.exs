defmodule Honker.PrecompiledTest do
  # Not beside others: it changes the current directory and the environment.
  use ExUnit.Case, async: false

  # Mix has it, from mix.exs.
  alias Honker.Precompiled

  setup context do
    before = System.get_env("HONKER_PRECOMPILED")
    on_exit(fn -> System.put_env(%{"HONKER_PRECOMPILED" => before || ""}) end)
    if context[:tmp_dir], do: System.put_env("HONKER_PRECOMPILED", context.tmp_dir)
    :ok
  end

  # A tarball for this platform, and the package's list of sums, which says `sum` of it.
  defp released(directory, sum \\ nil) do
    name = "honker-nif-1.2.3-#{Precompiled.platform()}.tar.gz"
    path = Path.join(directory, name)
    :ok = :erl_tar.create(String.to_charlist(path), [{~c"honker_nif.so", "native"}], [:compressed])
    sum = sum || Base.encode16(:crypto.hash(:sha256, File.read!(path)), case: :lower)
    File.write!(Path.join(directory, "checksums.exs"), inspect(%{name => sum}))
    Path.join(directory, "priv")
  end

  @tag :tmp_dir
  test "what was released is taken once", %{tmp_dir: directory} do
    priv = released(directory)

    File.cd!(directory, fn ->
      assert Precompiled.install(priv, "1.2.3") == :ok
      assert File.read!(Path.join(priv, "honker_nif.so")) == "native"
      assert Precompiled.install(priv, "1.2.3") == :noop
    end)
  end

  @tag :tmp_dir
  test "what another version left is replaced, not written over", %{tmp_dir: directory} do
    priv = released(directory)
    File.mkdir_p!(priv)
    for file <- ["honker_nif.so", "libhonker.so", "precompiled"], do: File.write!(Path.join(priv, file), "old")
    # Stands for an emulator that has it mapped.
    mapped = Path.join(directory, "mapped")
    File.ln!(Path.join(priv, "honker_nif.so"), mapped)

    File.cd!(directory, fn -> assert Precompiled.install(priv, "1.2.3") == :ok end)
    assert File.read!(Path.join(priv, "honker_nif.so")) == "native"
    assert File.read!(mapped) == "old"
    refute File.exists?(Path.join(priv, "libhonker.so"))
  end

  @tag :tmp_dir
  test "a library that was not released stays", %{tmp_dir: priv} do
    for file <- ["honker_nif.so", "libhonker.so"], do: File.write!(Path.join(priv, file), "own")
    refute Precompiled.installed?(priv)
    assert Precompiled.remove(priv) == :ok
    assert File.ls!(priv) == ["libhonker.so"]
  end

  @tag :tmp_dir
  test "what is not what was released is refused", %{tmp_dir: directory} do
    priv = released(directory, "0123")

    File.cd!(directory, fn ->
      assert {:error, why} = Precompiled.install(priv, "1.2.3")
      assert why =~ "its SHA-256 is not 0123"
      refute File.exists?(priv)
    end)
  end

  @tag :tmp_dir
  test "a checkout, another version, and who says so, compile", %{tmp_dir: directory} do
    priv = released(directory)
    assert Precompiled.install(priv, "1.2.3") == :none

    File.cd!(directory, fn ->
      assert Precompiled.install(priv, "1.2.4") == :none
      System.put_env("HONKER_PRECOMPILED", "none")
      assert Precompiled.install(priv, "1.2.3") == :none
    end)
  end

  test "platforms are called as in the release" do
    assert Precompiled.platform("x86_64-pc-linux-gnu", {:unix, :linux}) == "x86_64-linux-gnu"
    assert Precompiled.platform("aarch64-unknown-linux-gnu", {:unix, :linux}) == "aarch64-linux-gnu"
    assert Precompiled.platform("x86_64-alpine-linux-musl", {:unix, :linux}) == "x86_64-linux-musl"
    assert Precompiled.platform("aarch64-apple-darwin23.6.0", {:unix, :darwin}) == "aarch64-macos"
  end
end
