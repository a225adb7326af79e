# frozen_string_literal: true

require_relative "helper"
require "rubygems/package"

# The gem: what is in it, and that it works when it is installed where nothing else is.
class TestGem < HonkerTest
  NATIVE = %w[lib/honker/native/libhonker.so lib/honker/native/libhonker_ext.so].freeze

  # Built from a copy of the package, with the libraries of this tree in it if `native`.
  def build(native:)
    copy = File.join(@dir, "package")
    FileUtils.mkdir_p(copy)
    FileUtils.cp_r(%w[lib sig exe README.md honker.gemspec].map { |name| File.join(PACKAGE, name) }, copy)
    if native
      FileUtils.mkdir_p(File.join(copy, "lib/honker/native"))
      FileUtils.cp(LIBRARY, File.join(copy, NATIVE[0]))
      FileUtils.cp(EXTENSION, File.join(copy, NATIVE[1]))
    end
    out, status = Open3.capture2e("gem", "build", "--strict", "honker.gemspec", chdir: copy)
    assert status.success?, out
    Dir[File.join(copy, "*.gem")].fetch(0)
  end

  def sources
    Dir.chdir(PACKAGE) { Dir["lib/**/*.rb", "sig/**/*.rbs", "exe/*"] + ["README.md"] }.sort
  end

  def test_what_is_in_it
    spec = Gem::Package.new(build(native: false)).spec
    assert_equal sources, spec.files.sort
    assert_equal "ruby", spec.platform.to_s
    spec = Gem::Package.new(build(native: true)).spec
    assert_equal (sources + NATIVE).sort, spec.files.sort
    assert_equal Gem::Platform.local.to_s, spec.platform.to_s
    assert_equal [["ffi", :runtime], ["logger", :runtime]], (spec.dependencies.map { |one| [one.name, one.type] })
    assert_equal Gem::Requirement.new(">= 3.0"), spec.required_ruby_version
    assert_equal Honker::VERSION, spec.version.to_s
  end

  # Only with what is installed: GEM_PATH has Debian's or whoever's ffi, GEM_HOME is empty before.
  def test_it_is_installed_offline_and_the_first_example_of_the_readme_runs
    home = File.join(@dir, "home")
    file = build(native: true)
    env = { "GEM_HOME" => home, "GEM_PATH" => [home, *Gem.path].join(":"), "HONKER_LIBRARY" => nil, "HONKER_EXTENSION_PATH" => nil,
            "RUBYLIB" => nil, "RUBYOPT" => nil }
    out, status = Open3.capture2e(env, "gem", "install", "--local", "--no-document", file, chdir: @dir)
    assert status.success?, out
    FileUtils.rm_rf(File.join(@dir, "package"))
    example = File.read(File.join(PACKAGE, "README.md"))[/```ruby\n(require "honker".*?)```/m, 1]
    out, = Open3.capture2e(env, RbConfig.ruby, "-e", example, chdir: @dir)
    assert_equal "hello, world!\n", out
    out, = Open3.capture2e(env, File.join(home, "bin/honker-worker"), "--version", chdir: @dir)
    assert_equal "honker #{Honker::VERSION}\n", out
    out, = Open3.capture2e(env, RbConfig.ruby, "-e", 'require "honker"; puts Honker.extension_path', chdir: @dir)
    assert out.start_with?(File.realpath(home)) || out.start_with?(home), out
  end
end
