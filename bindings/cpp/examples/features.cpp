// Albums of pictures: a queue with settings, jobs that are there only once, a batch that says when all are done, and
// steps that are not done again when a job is.

#include <iostream>
#include <stdexcept>
#include <string>

#include "honker.hpp"

int main() {
  honker::Database db{"app.db"};
  const auto pictures = db.queue("pictures");
  auto tx = db.begin();
  tx.execute("CREATE TABLE pictures (name TEXT, size INTEGER)");
  tx.commit();

  honker::QueueChanges changes;
  changes.concurrency = 4;
  changes.concurrency_per_key = 1;
  changes.rate = honker::Rate{100, 60};            // 100 claims a minute
  changes.retry = honker::Backoff{0, 2, 60, 0.1};  // the first retry at once
  changes.keep_done_s = 3600;
  pictures.configure(changes);
  pictures.pause();
  std::cout << "paused: " << pictures.settings().paused << "\n";

  honker::BatchOptions options;
  options.on_success = honker::JobSpec{"albums", "holidays"};
  const auto album = db.batch(options, [&](honker::Batch& batch) {
    for (const char* name : {"beach", "hotel"}) pictures.enqueue(name, batch.join());
  });

  honker::EnqueueOptions once;
  once.unique_key = "thumbnails";
  once.on_conflict = honker::OnConflict::replace;
  once.concurrency_key = "thumbnails";
  once.max_run_s = 30;
  once.delay_s = 3600;
  pictures.enqueue("thumbnails, first version", once);
  const auto made = pictures.enqueue("thumbnails", once);
  if (made.status == honker::EnqueueStatus::replaced) std::cout << "replaced\n";

  honker::ScheduleOptions nightly;
  nightly.overlap = honker::Overlap::skip;
  db.scheduler().add("nightly", "backups", "0 3 * * *", "null", nightly);

  honker::StreamChanges month;
  month.keep_s = 30 * 86400;
  db.stream("uploads").configure(month);
  db.keep_notifications(3600);

  honker::JobFilter delayed;
  delayed.states = {honker::JobState::delayed};
  for (const auto& job : db.jobs(delayed)) std::cout << "delayed: " << job.payload << "\n";
  std::cout << db.metrics_json() << "\n";
  db.jobs(delayed).apply(honker::JobAction::cancel());
  pictures.resume();

  auto worker = db.worker({{"pictures"}, {"albums"}}, "host-7");
  worker.run([&](honker::Job& job) {
    if (job.queue() == "albums") {
      std::cout << job.payload() << ": " << album.get()->done << " pictures\n";
      return worker.stop();
    }
    const auto picture = job.step("download", [&] {
      std::cout << "download " << job.payload() << "\n";
      return "the picture of the " + job.payload();
    });
    job.step("store", [&](honker::Transaction& own) {
      own.execute("INSERT INTO pictures VALUES (?, ?)", {job.payload(), static_cast<int>(picture.size())});
    });
    if (job.payload() == "hotel" && job.attempts() == 1) throw std::runtime_error("no network");
  });
  std::cout << db.query("SELECT count(*) FROM pictures")[0][0].integer() << " rows\n";
  std::cout << db.dead_groups_json() << "\n";
}
