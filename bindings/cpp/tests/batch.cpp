// Batches.

#include "honker/testing.hpp"
#include "support.hpp"

using honker::Batch;
using honker::BatchOptions;
using honker::JobSpec;

TEST_CASE("a batch is sealed at the end of its block, and says when it is finished") {
  const File file;
  const auto q = file.db.queue("q");
  BatchOptions options;
  options.on_finished = JobSpec{"then", "\"finished\n\""};
  options.on_finished->options.metadata = R"({"a":"b"})";
  options.on_finished->options.priority = 3;
  options.on_success = JobSpec{"then", "success"};
  options.keep_s = 60;
  std::int64_t within = 0;
  const auto batch = file.db.batch(options, [&](Batch& members) {
    within = members.id();
    q.enqueue("1", members.join());
    honker::EnqueueOptions others;
    others.max_attempts = 1;
    q.enqueue_many({"2", "3"}, members.join(others));
    CHECK_FALSE(members.get()->sealed);
  });
  CHECK(batch.id() == within);
  auto state = batch.get();
  REQUIRE(state.has_value());
  CHECK(state->sealed);
  CHECK(state->total == 3);
  CHECK(state->pending == 3);
  CHECK_FALSE(state->finished_at.has_value());
  CHECK_FALSE(batch.seal());

  auto jobs = q.claim_batch("w", 2);
  CHECK(jobs[0].ack());
  CHECK(jobs[1].fail("no"));
  CHECK(file.db.queue("then").claim_batch("w", 9).empty());
  CHECK(q.claim_one("w")->ack());
  state = file.db.batch(batch.id()).get();
  CHECK(state->pending == 0);
  CHECK(state->done == 2);
  CHECK(state->dead == 1);
  CHECK(state->cancelled == 0);
  CHECK(state->finished_at.value_or(0) >= now() - 20);
  const auto then = file.db.queue("then").claim_batch("w", 9);
  REQUIRE(then.size() == 1);  // not that of a success
  CHECK(then[0].payload() == "\"finished\n\"");
  CHECK(contains(then[0].metadata(), R"("batch_id":")" + std::to_string(batch.id()) + "\""));
  CHECK(contains(then[0].metadata(), R"("a":"b")"));

  CHECK(file.db.batch([](Batch&) {}).get()->finished_at.has_value());  // of no jobs: at once
  CHECK_FALSE(file.db.batch(12345).get().has_value());
  CHECK_FAILS(HONKER_INVALID, file.db.batch(12345).seal());
}

TEST_CASE("a batch whose block does not end is not sealed") {
  const File file;
  const auto q = file.db.queue("q");
  std::int64_t id = 0;
  const auto broken = [&](Batch& batch) {
    id = batch.id();
    q.enqueue("1", batch.join());
    throw NoException();
  };
  CHECK_THROWS_AS(file.db.batch(broken), NoException);
  CHECK_FALSE(file.db.batch(id).get()->sealed);
  CHECK(file.db.batch(id).get()->total == 1);
  CHECK_REFUSED(HONKER_INVALID, file.db.batch(std::nothrow, broken));
  CHECK_FALSE(file.db.batch(id).get()->sealed);
  const auto returned = file.db.batch(std::nothrow, [&](Batch& batch) {
    id = batch.id();
    return q.enqueue(std::nothrow, "\xff", batch.join());
  });
  CHECK_REFUSED(HONKER_UTF8, returned);
  CHECK_FALSE(file.db.batch(id).get()->sealed);
  CHECK_FAILS(HONKER_UTF8, file.db.batch([&](Batch& batch) { return q.enqueue(std::nothrow, "\xff", batch.join()); }));
  CHECK(file.db.batch(std::nothrow, [&](Batch& batch) { return q.enqueue(std::nothrow, "1", batch.join()); })
            ->get()
            ->sealed);
}

TEST_CASE("a running member adds jobs to a sealed batch, and nobody else does") {
  const File file;
  const auto q = file.db.queue("q");
  const auto batch = file.db.batch([&](Batch& members) { q.enqueue("1", members.join()); });
  CHECK_FAILS(HONKER_INVALID, q.enqueue("2", batch.join()));
  auto job = q.claim_one("w");
  REQUIRE(job.has_value());
  q.enqueue("2", batch.join(*job));
  CHECK(batch.get()->total == 2);
  CHECK(job->ack());
  CHECK_FAILS(HONKER_INVALID, q.enqueue("3", batch.join(*job)));
  CHECK_FALSE(batch.get()->finished_at.has_value());

  auto worker = q.worker("w");
  worker.run([&](honker::Job& member) {
    if (member.payload() == "2") return static_cast<void>(q.enqueue("3", batch.join(member)));
    worker.stop();
  });
  CHECK(batch.get()->done == 3);
  CHECK(batch.get()->finished_at.has_value());
}

TEST_CASE("a batch in a transaction") {
  const File file;
  const auto q = file.db.queue("q");
  for (const bool commits : {false, true}) {
    auto tx = file.db.begin();
    const auto batch = file.db.create_batch_tx(tx);
    q.enqueue_tx(tx, "1", batch.join());
    CHECK(batch.seal_tx(tx));
    if (commits) {
      tx.commit();
      CHECK(batch.get()->sealed);
    } else {
      tx.rollback();
      CHECK_FALSE(batch.get().has_value());
    }
  }
}

TEST_CASE("options of a batch that cannot be") {
  const File file;
  BatchOptions options;
  options.keep_s = -1;
  CHECK_FAILS(HONKER_INVALID, file.db.create_batch(options));
  options = {};
  options.on_success = JobSpec{"q", "1"};
  options.on_success->options.batch_id = 1;
  CHECK_FAILS(HONKER_INVALID, file.db.create_batch(options));
  options.on_success = JobSpec{"q", "\xff"};
  CHECK_FAILS(HONKER_UTF8, file.db.create_batch(options));
  options.on_success = JobSpec{"q", std::string("a\0b", 3)};
  CHECK_FAILS(HONKER_INVALID, file.db.create_batch(options));
  CHECK_FAILS(HONKER_INVALID, file.db.batch(options, [](Batch&) { FAIL("there is none"); }));
}
