// Albums of pictures: a queue with settings, jobs that are there only once, a batch that says when all are done, and
// steps that are not done again when a job is.

#include <iostream>
#include <stdexcept>
#include <string>
#include <utility>

#include "honker.hpp"

namespace {

std::string download(const std::string& name) {
  std::cout << "download " << name << "\n";
  return "the picture of the " + name;
}

}  // namespace

int main() {
  honker::Database db{"app.db"};
  const auto pictures = db.queue("pictures");
  auto tx = db.begin();
  tx.execute("CREATE TABLE pictures (picture TEXT)");
  tx.commit();

  honker::QueueChanges changes;
  changes.concurrency = 4;
  changes.concurrency_per_key = 1;
  changes.rate = honker::Rate{100, 60};            // 100 claims a minute
  changes.retry = honker::Backoff{0, 2, 60, 0.1};  // the first retry at once
  changes.max_attempts = 10;
  changes.keep_done_s = 3600;
  changes.keep_dead_s = 30 * 86400;
  pictures.configure(changes);
  pictures.pause();
  const honker::QueueSettings settings = pictures.settings();
  std::cout << "paused: " << settings.paused << "\n";

  honker::BatchOptions options;
  options.on_success = honker::JobSpec{"albums", "holidays"};
  const auto album = db.batch(options, [&](honker::Batch& batch) {
    for (const char* name : {"beach", "hotel"}) pictures.enqueue(name, batch.join());
  });

  honker::EnqueueOptions once;
  once.unique_key = "thumbnails";
  once.unique_until = honker::UniqueUntil::claimed;
  once.unique_for_s = 60;
  once.on_conflict = honker::OnConflict::replace;
  once.concurrency_key = "thumbnails";
  once.metadata = R"({"tenant":"acme"})";
  once.max_run_s = 30;
  once.delay_s = 3600;
  pictures.enqueue("thumbnails, first version", once);
  const honker::Enqueued made = pictures.enqueue("thumbnails", once);
  if (made.status == honker::EnqueueStatus::replaced) std::cout << "replaced\n";
  const auto draft = pictures.enqueue("a draft");
  pictures.cancel(draft);

  honker::ScheduleOptions nightly;
  nightly.overlap = honker::Overlap::skip;
  db.scheduler().add("nightly", "backups", "0 3 * * *", "null", nightly);

  honker::StreamChanges month;
  month.keep_s = 30 * 86400;
  db.stream("uploads").configure(month);
  db.keep_notifications(3600);

  honker::JobFilter delayed;
  delayed.states = {honker::JobState::delayed};
  for (const auto& job : db.jobs(delayed)) std::cout << job.payload << " " << job.metadata << "\n";
  const std::string metrics = db.metrics_json();
  std::cout << metrics << "\n";
  db.jobs(delayed).apply(honker::JobAction::cancel());
  pictures.resume();

  bool is_open = false;
  auto worker = db.worker({{"pictures"}, {"albums"}}, "host-7");
  worker.run([&](honker::Job& job) -> honker::Outcome {
    if (job.queue() == "albums") {
      const auto status = album.get();
      std::cout << job.payload() << ": " << status->done << " pictures\n";
      worker.stop();
      return honker::Outcome::ack();
    }
    if (job.cancelled()) return honker::Outcome::release();
    if (job.payload() == "beach" && !std::exchange(is_open, true)) return honker::Outcome::snooze(0);
    const auto picture = job.step("download", [&] { return download(job.payload()); });
    job.step("store", [&](honker::Transaction& own) { own.execute("INSERT INTO pictures VALUES (?)", {picture}); });
    if (job.payload() == "hotel" && job.attempts() == 1) throw std::runtime_error("no network");
    return honker::Outcome::ack();
  });
  std::cout << db.query("SELECT count(*) FROM pictures")[0][0].integer() << " rows\n";
  const std::string groups = db.dead_groups_json();
  std::cout << groups << "\n";
}
