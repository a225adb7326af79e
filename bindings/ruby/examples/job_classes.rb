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

class Import
  include Honker::Job

  queue "imports", name: nil

  def perform(file:, **)
    puts "importing #{file}"
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

# By somebody else, in whichever language: what is misspelt is dead, with the reason.
db.queue("emails").enqueue({ __honker_task__: { task: "SendEmail", args: [], kwargs: { to: "carol" } } })
db.queue("emails").enqueue({ __honker_task__: { task: "SendEmial", args: [], kwargs: {} } })
imports = db.queue("imports")
imports.enqueue({ file: "a.csv", size: 5 })
Honker.logger = nil
emails = db.queue("emails")
db.worker(%w[emails imports]).run(stop: -> { [emails, imports].all? { |q| q.stats.values_at(:pending, :claimed).sum.zero? } })
puts emails.dead.first[:last_error]
db.close
