// Jobs looked at and acted on, many at a time; groups of the dead, and metrics.

#include <algorithm>
#include <vector>

#include "support.hpp"

using honker::JobAction;
using honker::JobFilter;
using honker::JobState;

namespace {

JobFilter in(JobState state) {
  JobFilter filter;
  filter.states = {state};
  return filter;
}

std::vector<std::string> payloads(const honker::JobList& list) {
  std::vector<std::string> found;
  for (const auto& job : list) found.push_back(job.payload);
  return found;
}

using Texts = std::vector<std::string>;

}  // namespace

TEST_CASE("jobs are listed with all that is known of them") {
  const File file;
  const auto q = file.db.queue("q \"\\\n\x01\xc3\xb6");
  honker::EnqueueOptions options;
  options.metadata = R"({"tenant":"a \"b\""})";
  options.unique_key = "key";
  options.concurrency_key = "slot";
  options.priority = -4;
  options.expires_s = 3600;
  const auto batch = file.db.create_batch();
  const auto id = q.enqueue("{\"a\":[1]}\n", batch.join(options)).id;
  file.db.queue("other").enqueue("2");

  JobFilter filter;
  filter.queue = q.name();
  filter.metadata = {{"tenant", "a \"b\""}};
  filter.unique_key = "key";
  filter.batch_id = batch.id();
  filter.min_id = id;
  filter.max_id = id;
  filter.created_from = now() - 60;
  filter.created_to = now() + 60;
  filter.states = {JobState::due, JobState::dead};
  auto page = file.db.jobs(filter).page();
  REQUIRE(page.jobs.size() == 1);
  CHECK_FALSE(page.cursor.has_value());
  auto job = page.jobs[0];
  CHECK(job.id == id);
  CHECK(job.queue == q.name());
  CHECK(job.payload == "{\"a\":[1]}\n");
  CHECK(job.state == JobState::due);
  CHECK(job.priority == -4);
  CHECK(job.run_at == job.created_at);
  CHECK_FALSE(job.worker_id.has_value());
  CHECK_FALSE(job.claim_expires_at.has_value());
  CHECK(job.attempts == 0);
  CHECK(job.max_attempts == 3);
  CHECK(job.expires_at == job.created_at + 3600);
  CHECK(job.metadata == options.metadata);
  CHECK(job.unique_key == "key");
  CHECK(job.concurrency_key == "slot");
  CHECK(job.batch_id == batch.id());
  CHECK_FALSE(job.last_error.has_value());
  filter.metadata["tenant"] = "other";
  CHECK(file.db.jobs(filter).page().jobs.empty());

  CHECK(q.claim_one("w")->fail("no such address"));
  filter = in(JobState::dead);
  filter.error = "such";
  filter.ended_from = now() - 60;
  job = file.db.jobs(filter).page().jobs.at(0);
  CHECK(job.state == JobState::dead);
  CHECK(job.last_error == "no such address");
  CHECK(job.died_at.has_value());
  filter.error = "other";
  CHECK(file.db.jobs(filter).begin() == file.db.jobs(filter).end());

  const auto claimed = file.db.queue("other").claim_one("w2");
  filter = {};
  filter.worker_id = "w2";
  job = file.db.jobs(filter).page().jobs.at(0);
  CHECK(job.state == JobState::processing);
  CHECK(job.worker_id == "w2");
  CHECK(job.claim_expires_at == claimed->claim_expires_at());
  CHECK(job.metadata == "");
  CHECK(job.attempts == 1);

  honker::QueueChanges keep;
  keep.keep_done_s = 3600;
  file.db.queue("kept").configure(keep);
  const auto kept = file.db.queue("kept").enqueue("3");
  auto done = file.db.queue("kept").claim_one("w");
  file.db.save_result(kept, "6");
  CHECK(done->ack());
  job = file.db.jobs(in(JobState::done)).page().jobs.at(0);
  CHECK(job.state == JobState::done);
  CHECK(job.result == "6");
  CHECK(job.finished_at.has_value());
}

TEST_CASE("a list goes on over its pages") {
  const File file;
  const auto q = file.db.queue("q");
  q.enqueue_many({"1", "2", "3", "4", "5"});
  JobFilter filter;
  for (const std::int64_t page_size : {1, 2, 5, 1000}) {
    filter.page_size = page_size;
    filter.oldest_first = false;
    CHECK(payloads(file.db.jobs(filter)) == Texts{"5", "4", "3", "2", "1"});
    filter.oldest_first = true;
    const auto list = file.db.jobs(filter);
    CHECK(payloads(list) == Texts{"1", "2", "3", "4", "5"});
    CHECK(std::distance(list.begin(), list.end()) == 5);  // from the beginning again
  }
  filter.page_size = 2;
  const auto list = file.db.jobs(filter);
  const auto first = list.page();
  REQUIRE(first.cursor.has_value());
  CHECK(list.page(first.cursor).jobs.at(0).payload == "3");
  CHECK(payloads(file.db.jobs(in(JobState::delayed))).empty());
  CHECK(payloads(file.db.jobs()).size() == 5);
}

TEST_CASE("actions on all that is found") {
  const File file;
  const auto q = file.db.queue("q");
  const auto other = file.db.queue("other \"queue\"");
  q.enqueue_many({"1", "2", "3", "4", "5"});
  for (auto& job : q.claim_batch("w", 5)) CHECK(job.fail("no"));

  auto filter = in(JobState::dead);
  filter.page_size = 2;
  auto applied = file.db.jobs(filter).apply_page(JobAction::retry());
  CHECK(applied.changed == 2);
  CHECK(applied.cursor.has_value());
  auto tx = file.db.begin();
  CHECK(file.db.jobs(filter).apply_page_tx(tx, JobAction::retry(), applied.cursor).changed == 2);
  tx.rollback();
  applied = file.db.jobs(filter).apply(JobAction::retry());
  CHECK(applied.changed == 3);
  CHECK(applied.conflicts == 0);
  CHECK(applied.left == 0);
  CHECK_FALSE(applied.cursor.has_value());

  CHECK(file.db.jobs(in(JobState::due)).apply(JobAction::move(other.name())).changed == 5);
  CHECK(file.db.jobs(in(JobState::due)).apply(JobAction::priority(smallest)).changed == 5);
  auto job = file.db.jobs().page().jobs.at(0);
  CHECK(job.queue == other.name());
  CHECK(job.priority == smallest);
  file.run("UPDATE _honker_live SET run_at = unixepoch() + 3600");
  CHECK(file.db.jobs(in(JobState::delayed)).apply(JobAction::run_now()).changed == 5);
  CHECK(other.claim_batch("w", 2).size() == 2);
  CHECK(file.db.jobs(in(JobState::processing)).apply(JobAction::cancel()).changed == 2);
  CHECK(file.db.jobs().apply(JobAction::remove()).changed == 3);
  CHECK(file.count("_honker_live") == 0);
  CHECK(file.count("_honker_dead") == 0);
}

TEST_CASE("a dead job whose key another one has is passed over") {
  const File file;
  const auto q = file.db.queue("q");
  honker::EnqueueOptions options;
  options.unique_key = "k";
  const auto id = q.enqueue("1", options).id;
  CHECK(q.claim_one("w")->fail("no"));
  q.enqueue("2", options);
  const auto applied = file.db.jobs(in(JobState::dead)).apply(JobAction::retry());
  CHECK(applied.changed == 0);
  CHECK(applied.conflicts == 1);
  CHECK_FALSE(q.dead_requeue(id));
}

TEST_CASE("filters that cannot be") {
  const File file;
  const auto check = [&](auto change) {
    JobFilter filter;
    change(filter);
    CHECK_FAILS(HONKER_INVALID, file.db.jobs(filter).page());
    CHECK_FAILS(HONKER_INVALID, file.db.jobs(filter).begin());
    CHECK_FAILS(HONKER_INVALID, file.db.jobs(filter).apply(JobAction::remove()));
  };
  check([](JobFilter& filter) { filter.page_size = 0; });
  check([](JobFilter& filter) { filter.page_size = 1001; });
  check([](JobFilter& filter) { filter.states = {JobState::other}; });
  check([](JobFilter& filter) { filter.queue = std::string("a\0b", 3); });
  JobFilter filter;
  filter.queue = "\xff";
  CHECK_FAILS(HONKER_UTF8, file.db.jobs(filter).page());
  CHECK_FAILS(HONKER_UTF8, file.db.jobs().apply(JobAction::move("\xff")));
}

TEST_CASE("groups of the dead, and metrics") {
  const File file;
  const auto q = file.db.queue("q");
  q.enqueue_many({"1", "2"});
  for (auto& job : q.claim_batch("w", 2)) CHECK(job.fail("no order " + std::to_string(job.id())));
  CHECK(contains(q.dead_groups_json(), R"("error":"no order #")"));
  CHECK(contains(file.db.dead_groups_json(), R"("count":2)"));
  CHECK(file.db.queue("other").dead_groups_json() == "[]");
  CHECK(contains(file.db.metrics_json(), R"("queue":"q")"));
  CHECK(contains(file.db.metrics_json(), R"("depth")"));
}
