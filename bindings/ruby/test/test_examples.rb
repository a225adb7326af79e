# frozen_string_literal: true

require_relative "helper"

# Every example runs, in a directory that has nothing but the library, and prints what it should. The samples of the README are
# parts of them (tests/consistent.py).
class TestExamples < HonkerTest
  OUTPUT = {
    "atomic_enqueue" => "neither: HONKER_CONSTRAINT\nalice owes 9900, 1 job\norder 1: 9901\n",
    "by_hand" => "sent to alice\nsent to bob\n",
    "features" => "enqueued\nexists\n2 pages to go\ndownload page 1\ndownload page 2\n2 pages are in\ndigest for 7\n" \
                  "{\"total\":2,\"done\":2,\"dead\":0}\n2 dead of \"# from host #\"\n2 retried\n" \
                  "[\"2 1\", \"3 2\", \"4 1\"]\n2 due\n",
    "first_queue" => "hello, world!\n",
    "fork" => "child\n",
    "hooks" => "emails: took some time\nto Sentry: emails: no such address, says acme\n",
    "job_classes" => "SendEmail#perform: missing keywords: to\ngood morning, bob! (attempt 1)\nimporting a.csv\n" \
                     "hello, alice! (attempt 1)\nhello, carol! (attempt 1)\nunknown task: SendEmial. Registered tasks: [SendEmail]\n",
    "listen" => "orders: 1\norders: 2\npruned 2\n",
    "locks" => "backing up\nsomebody is at it\nme: true true\n",
    "outbox" => "delivered 42 at the 2nd time\n0\n",
    "rate_limit" => "true\ntrue\ntrue\nfalse\n0\n",
    "results" => "6\nwait_result(2) timed out\n0\n",
    "scheduler" => "[\"nightly\", \"pulse\"]\na job of health\nbeside a worker, a job of health\nremoved 1\n",
    "several_queues" => "emails: {\"to\":\"alice\"} acme\nreports: {\"month\":7} \n" \
                        "{\"pending\":0,\"delayed\":1,\"dead\":1}\nsent to carol\n",
    "streams" => "1 nil: 99\n2 \"alice\": 5\n1 to go\nmail for order 1\nmail for order 2\nmail for order 3\n2\n",
    "testing" => /come back, alice!.*^1 runs, \d assertions, 0 failures, 0 errors, 0 skips$/m,
    "worker" => "sent to alice\nsent to bob\n{\"pending\":0,\"claimed\":0,\"dead\":0}\n",
    "your_own_sqlite" => "42\n1\n"
  }.freeze
  # Their jobs run in any order; those of several_queues if the second changes before the first claim.
  UNORDERED = %w[job_classes several_queues worker].freeze

  # What it printed; what it logs goes elsewhere.
  def run_file(file)
    FileUtils.ln_s(LIBRARY, @dir)
    out, err, status = Open3.capture3(RbConfig.ruby, "-I", File.join(PACKAGE, "lib"), file, chdir: @dir)
    assert status.success?, err
    out
  end

  def test_all_are_here
    # That of Postgres is run by the tests of Postgres.
    assert_equal [*OUTPUT.keys, "postgres"].sort, Dir[File.join(PACKAGE, "examples/*.rb")].map { |file| File.basename(file, ".rb") }.sort
  end

  OUTPUT.each do |name, expected|
    define_method(:"test_#{name}") do
      out = run_file(File.join(PACKAGE, "examples/#{name}.rb"))
      next assert_match(expected, out) if expected.is_a?(Regexp)

      UNORDERED.include?(name) ? assert_equal(expected.lines.sort, out.lines.sort) : assert_equal(expected, out)
    end
  end
end
