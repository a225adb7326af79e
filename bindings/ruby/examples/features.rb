# frozen_string_literal: true

# Unique jobs, steps, a batch, settings of queues, and what an operator does: pause, look, retry.

require "honker"

class SendDigest
  include Honker::Job

  queue "mail", unique_key: ->(user_id:) { "digest #{user_id}" }

  def perform(user_id:)
    puts "digest for #{user_id}"
    Process.kill("TERM", Process.pid) # the end of the worker, in this example
  end
end

class ImportPage
  include Honker::Job

  queue "imports"

  def perform(page:)
    file = job.step("download") { download(page) } # once, whatever is retried
    raise "disk full" if page == 2 && job.attempts == 1

    job.database.transaction do |tx|
      job.step("import", tx: tx) { tx.execute("INSERT INTO pages (file) VALUES (?)", [file]) }
    end
  end

  def download(page)
    puts "download page #{page}"
    "page-#{page}.csv"
  end
end

class Report
  include Honker::Job

  queue "imports"

  def perform
    db = job.database
    puts "#{db.query_row("SELECT count(*) FROM pages").first} pages are in"
    db.queue("mail").resume
  end
end

db = Honker.database = Honker::Database.new("app.db")
db.transaction { |tx| tx.execute("CREATE TABLE pages (file TEXT)") }

mail = db.queue("mail")
mail.configure(concurrency: 20, concurrency_per_key: 1, rate: { limit: 100, per_s: 60 })
db.queue("imports").configure(retry: { base_s: 0 }, keep_done_s: 3600)
mail.pause # in every process: what is enqueued waits

2.times { puts SendDigest.try_enqueue(user_id: 7).status }

batch = db.batch(on_success: Report.spec) do |pages|
  [1, 2].each { |page| ImportPage.set(batch: pages).enqueue(page: page) }
end
puts "#{batch.get[:pending]} pages to go"

Honker.logger = nil
db.worker(%w[mail imports]).run
puts JSON.generate(batch.get.slice(:total, :done, :dead))

# Later, on a console. The key is free again: the digest is done.
[12, 13].each { |host| mail.enqueue({ user_id: 8 }) && mail.claim_one("me").fail(error: "503 from host #{host}") }
mail.dead_groups.each { |group| puts "#{group[:count]} dead of #{group[:error].inspect}" }
puts "#{db.jobs(queue: mail, state: :dead, error: "503").retry.changed} retried"
puts db.jobs(queue: "imports", state: :done, order: :oldest).map { |job| "#{job[:id]} #{job[:attempts]}" }.inspect
depths = db.metrics[:queues].to_h { |queue| [queue[:queue], queue[:depth]] }
puts "#{depths["mail"][:due]} due"
db.close
