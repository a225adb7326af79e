# frozen_string_literal: true

# Jobs as classes: what they are called with is checked when they are enqueued, and a worker without a block performs them.

require "honker"

class SendEmail
  include Honker::Job

  queue "emails", max_attempts: 10

  def perform(to:, subject: "hello")
    puts "#{subject}, #{to}! (attempt #{job.attempts})"
  end
end

db = Honker.database = Honker::Database.new("app.db")
SendEmail.enqueue(to: "alice")
db.transaction do |tx|
  SendEmail.set(tx: tx, priority: 1).enqueue(to: "bob", subject: "good morning")
end

begin
  SendEmail.enqueue(form: "alice")
rescue ArgumentError => e
  puts e.message
end

db.queue("emails").enqueue({ class: "SendEmial", args: [], kwargs: {} }) # by somebody else: dead, with the reason
Honker.logger = nil
emails = db.queue("emails")
db.worker("emails").run(stop: -> { emails.stats.values_at(:pending, :claimed).sum.zero? })
puts emails.dead.first[:last_error]
db.close
