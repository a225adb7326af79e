# frozen_string_literal: true

require_relative "lib/honker/version"

# With libhonker and libhonker_ext in lib/honker/native it is a gem for this platform, which brings them; without, one that
# finds them where the README says.
Gem::Specification.new do |spec|
  spec.name = "honker"
  spec.version = Honker::VERSION
  spec.summary = "A durable job queue, streams, notifications and a scheduler in your SQLite file"
  spec.description = "Jobs, event streams, notify/listen, locks, rate limits, results, outboxes and cron schedules in the " \
                     "SQLite file that an application already has."
  spec.authors = ["The honker authors"]
  spec.licenses = ["MIT", "Apache-2.0"]
  spec.homepage = "https://github.com/russellromney/honker"
  spec.required_ruby_version = ">= 3.0"
  spec.files = Dir.chdir(__dir__) { Dir["lib/**/*.rb", "lib/honker/native/*", "exe/*", "sig/**/*.rbs", "README.md"] }.sort
  spec.platform = Gem::Platform.local if spec.files.any? { |file| file.start_with?("lib/honker/native/") }
  spec.require_paths = ["lib"]
  spec.bindir = "exe"
  spec.executables = ["honker-worker"]
  spec.metadata = { "rubygems_mfa_required" => "true" }
  spec.add_runtime_dependency "ffi", ">= 1.15", "< 2"
  spec.add_runtime_dependency "logger", "~> 1.4" # no default gem any more, from Ruby 4.0 on
end
