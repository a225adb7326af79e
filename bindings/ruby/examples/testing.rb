# frozen_string_literal: true

# Tests of what enqueues jobs and of what performs them, without a worker and without waiting.

require "honker/testing"
require "minitest/autorun"

class SendReminder
  include Honker::Job

  queue "reminders", max_attempts: 10

  def perform(to:)
    puts "come back, #{to}!"
  end
end

def sign_up(name)
  SendReminder.set(delay: 86_400).enqueue(to: name)
end

class SignUpTest < Minitest::Test
  include Honker::Testing

  def test_a_reminder_is_sent_after_a_day
    sign_up("alice")
    assert_enqueued SendReminder, to: "alice"
    advance 86_400
    assert_equal 1, run_due
  end
end
