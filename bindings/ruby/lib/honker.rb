# frozen_string_literal: true

require "ffi"

# A durable job queue, event streams, notifications, locks, rate limits, results, outboxes and a cron scheduler in the
# SQLite file that an application already has, or in Postgres. {Honker::Database} is where to begin.
module Honker
end

require_relative "honker/version"
require_relative "honker/error"
require_relative "honker/native"
require_relative "honker/library"
require_relative "honker/clock"
require_relative "honker/postgres"
require_relative "honker/value"
require_relative "honker/payload"
require_relative "honker/lock_wait"
require_relative "honker/calls"
require_relative "honker/transaction"
require_relative "honker/log"
require_relative "honker/hooks"
require_relative "honker/trouble"
require_relative "honker/signals"
require_relative "honker/dispatcher"
require_relative "honker/waiter"
require_relative "honker/claimed_job"
require_relative "honker/handler"
require_relative "honker/outcome"
require_relative "honker/crew"
require_relative "honker/firing"
require_relative "honker/run"
require_relative "honker/enqueue"
require_relative "honker/batch"
require_relative "honker/jobs"
require_relative "honker/queue"
require_relative "honker/worker"
require_relative "honker/stream"
require_relative "honker/notification"
require_relative "honker/scheduler"
require_relative "honker/outbox"
require_relative "honker/lock"
require_relative "honker/database"
require_relative "honker/extension"
require_relative "honker/connection"
require_relative "honker/job"
require_relative "honker/railtie" if defined?(Rails::Railtie)
