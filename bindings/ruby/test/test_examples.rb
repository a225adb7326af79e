# frozen_string_literal: true

require_relative "helper"

# Every example runs, in an empty directory, and prints what it should; every snippet of the README does not do less.
class TestExamples < HonkerTest
  OUTPUT = {
    "atomic_enqueue" => "neither: HONKER_CONSTRAINT\nalice owes 9900, 1 job\n[[42, 0, \"alice\"]]\n",
    "first_queue" => "hello, world!\n",
    "listen" => "orders: 1\norders: 2\npruned 2\n",
    "locks" => "backing up\nsomebody is at it\nme: true true\n",
    "outbox" => "delivered 42 at the 2nd time\n0\n",
    "rate_limit" => "true\ntrue\ntrue\nfalse\n0\n",
    "results" => "6\nwait_result(2) timed out\n0\n",
    "scheduler" => "[\"nightly\", \"pulse\"]\na job of health\nremoved 1\n",
    "streams" => "1 nil: 99\n2 \"alice\": 5\n1 to go\nmail for order 1\nmail for order 2\nmail for order 3\n2\n",
    "worker" => "sent to alice\nsent to bob\n",
    "worker_loop" => "sent to alice\n{\"pending\"=>0, \"delayed\"=>1, \"dead\"=>1}\nsent to carol\n",
    "your_own_sqlite" => "42\n"
  }.freeze

  def run_file(file)
    out, status = Open3.capture2e(RbConfig.ruby, "-I", File.join(PACKAGE, "lib"), file, chdir: @dir)
    assert status.success?, out
    out
  end

  def test_all_are_here
    assert_equal OUTPUT.keys, Dir[File.join(PACKAGE, "examples/*.rb")].map { |file| File.basename(file, ".rb") }.sort
  end

  OUTPUT.each do |name, expected|
    define_method(:"test_#{name}") { assert_equal expected, run_file(File.join(PACKAGE, "examples/#{name}.rb")) }
  end

  # One after the other, in one program with what they take for granted.
  def test_the_snippets_of_the_readme
    snippets = File.read(File.join(PACKAGE, "README.md")).scan(/```ruby\n(.*?)```/m).flatten
    assert_operator snippets.size, :>=, 9
    File.write(File.join(@dir, "all.rb"), <<~RUBY)
      #{File.read(File.join(__dir__, "readme_prelude.rb"))}
      #{snippets.map { |snippet| "Timeout.timeout(10) do\n#{snippet}end\n" }.join.gsub(/^loop do$/, "3.times do")}
    RUBY
    FileUtils.cp(LIBRARY, @dir)
    assert_match(/hello, world!/, run_file("all.rb"))
  end
end
