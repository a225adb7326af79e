# frozen_string_literal: true

require_relative "helper"

# Finding and loading libhonker, which happens once in a process: so each of these is a process.
class TestLibrary < HonkerTest
  FILE = FFI.map_library_name("honker")

  def attempt(env: {}, path: nil)
    program = <<~'RUBY'
      require "honker"
      begin
        Honker::Database.new("x.db", library_path: ARGV.first)
        puts "opened"
      rescue Honker::LibraryError => e
        puts e.message, e.tried.size
      end
    RUBY
    ruby(program, *path, env: { "HONKER_LIBRARY" => nil, **env })
  end

  def test_an_explicit_path_alone_is_tried
    assert_equal "opened\n", attempt(path: LIBRARY)
    out = attempt(path: "nowhere.so", env: { "HONKER_LIBRARY" => LIBRARY })
    assert_includes out, "#{File.join(File.realpath(@dir), "nowhere.so")} (library_path): no such file"
    assert_match(/^1$/, out)
  end

  def test_the_snippet_runs_as_it_was_published
    FileUtils.ln_s(LIBRARY, File.join(@dir, "libhonker.so"))
    assert_equal "hello, world!\n", ruby(<<~'RUBY', env: { "HONKER_LIBRARY" => nil })
      require "honker"
      db = Honker::Database.new("app.db", extension_path: "./libhonker.so")
      q = db.queue("greetings")
      q.enqueue({name: "world"})
      job = q.claim_one("worker-1")
      puts "hello, #{job.payload[:name]}!"
      job.ack
    RUBY
  end

  def test_the_environment_alone_is_tried
    assert_equal "opened\n", attempt(env: { "HONKER_LIBRARY" => LIBRARY })
    out = attempt(env: { "HONKER_LIBRARY" => "/nowhere/#{FILE}" })
    assert_includes out, "/nowhere/#{FILE} (HONKER_LIBRARY): no such file"
    assert_match(/^1$/, out)
  end

  def test_a_failure_lists_every_path_and_says_what_to_do
    out = attempt
    assert_includes out, File.join(PACKAGE, "lib/honker/native", FILE)
    assert_includes out, "next to the program"
    assert_includes out, "#{FILE} (the system): "
    assert_includes out, "set HONKER_LIBRARY"
    assert_match(/^3$/, out)
  end

  def test_next_to_the_program
    FileUtils.cp(LIBRARY, @dir)
    File.write(File.join(@dir, "app.rb"), %(require "honker"; Honker::Database.new("x.db"); puts "opened"))
    out, = Open3.capture2e({ "HONKER_LIBRARY" => nil }, RbConfig.ruby, "-I", File.join(PACKAGE, "lib"), "#{@dir}/app.rb", chdir: @dir)
    assert_equal "opened\n", out
  end

  def test_not_a_library
    File.write(File.join(@dir, "text.so"), "this is no library")
    assert_includes attempt(path: "text.so"), "text.so (library_path): "
    assert_includes attempt(path: EXTENSION), "not a libhonker that fits"
  end

  def test_another_interface_version_is_refused
    { "0x00030000" => "3.0", "0x00020000" => "2.0", "0x00000005" => "0.5" }.each do |number, version|
      source = File.join(@dir, "other.c")
      File.write(source, <<~C)
        unsigned honker_abi_version(void) { return #{number}; }
        const char *honker_version(void) { return "9.9.9"; }
      C
      assert system("cc", "-shared", "-fPIC", "-o", File.join(@dir, "other.so"), source)
      out = attempt(path: "other.so")
      assert_includes out, "its interface is version #{version} (libhonker 9.9.9)"
      assert_match(/needs 2\.[1-9]/, out)
    end
  end

  def test_one_library_in_a_process
    db
    copy = File.join(@dir, FILE)
    FileUtils.cp(LIBRARY, copy)
    error = assert_raises(Honker::LibraryError) { open_database(library_path: copy) }
    assert_includes error.message, "this process uses"
    open_database(extension_path: LIBRARY) # as it was published
    open_database(library_path: LIBRARY)
    assert_raises(ArgumentError) { open_database(library_path: LIBRARY, extension_path: LIBRARY) }
  end

  def test_a_resolver_of_the_users
    resolver = Struct.new(:asked) do
      def resolve(path)
        asked << path
        LIBRARY
      end
    end.new([])
    open_database(library_path: "some name", extension_resolver: resolver)
    assert_equal ["some name"], resolver.asked
  end
end
