// Jobs looked at and acted on, many at a time: those that a filter finds.
//
// Threads: a JobList may be used by any number of them, an iterator of it by one.

#ifndef HONKER_JOB_LIST_HPP
#define HONKER_JOB_LIST_HPP

#include <cstddef>
#include <cstdint>
#include <iterator>
#include <map>
#include <new>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "detail.hpp"
#include "json_view.hpp"
#include "object.hpp"
#include "transaction.hpp"

namespace honker {

/// Where a job is.
enum class JobState {
  due,         ///< It waits to be claimed.
  delayed,     ///< It is not due yet.
  processing,  ///< A worker has it.
  blocked,     ///< It waits for another one with its concurrency key to end.
  dead,        ///< It failed, or expired.
  done,        ///< It is done, and kept (QueueSettings::keep_done_s).
  other,       ///< Something that this version does not know.
};

/// Which jobs: those that fulfil all that is set.
struct JobFilter {
  std::optional<std::string> queue = std::nullopt;
  /// One of them. Empty: any.
  std::vector<JobState> states = {};
  /// Ids from and to, inclusive.
  std::optional<std::int64_t> min_id = std::nullopt;
  std::optional<std::int64_t> max_id = std::nullopt;
  std::optional<std::string> worker_id = std::nullopt;
  std::optional<std::string> unique_key = std::nullopt;
  std::optional<std::int64_t> batch_id = std::nullopt;
  /// All of which the job has.
  std::map<std::string, std::string> metadata = {};
  /// A part of the error that it died of.
  std::optional<std::string> error = std::nullopt;
  /// In Unix seconds, inclusive: when it was enqueued, and when it died or was done.
  std::optional<std::int64_t> created_from = std::nullopt;
  std::optional<std::int64_t> created_to = std::nullopt;
  std::optional<std::int64_t> ended_from = std::nullopt;
  std::optional<std::int64_t> ended_to = std::nullopt;
  /// The order is that of the ids.
  bool oldest_first = false;
  /// How many jobs a page has, 1 to 1000. Default: 100, and 1000 for JobList::apply().
  std::optional<std::int64_t> page_size = std::nullopt;
};

/// A job that was found. What it does not have is empty.
struct ListedJob {
  std::int64_t id = 0;
  std::string queue;
  std::string payload;
  JobState state = JobState::other;
  std::int64_t priority = 0;
  /// Times are in Unix seconds.
  std::int64_t run_at = 0;
  std::optional<std::string> worker_id;
  std::optional<std::int64_t> claim_expires_at;
  std::int64_t attempts = 0;
  std::int64_t max_attempts = 0;
  std::int64_t created_at = 0;
  std::optional<std::int64_t> expires_at;
  std::optional<std::string> last_error;
  std::optional<std::int64_t> died_at;
  std::optional<std::int64_t> finished_at;
  std::optional<std::string> result;
  /// A JSON object of texts; empty: none.
  std::string metadata;
  std::optional<std::string> unique_key;
  std::optional<std::string> concurrency_key;
  std::optional<std::int64_t> batch_id;
};

/// Some of the jobs that were found.
struct JobPage {
  std::vector<ListedJob> jobs;
  /// Where the next page begins. Empty: this is the last one. A page may have no jobs, and not be the last.
  std::optional<std::int64_t> cursor;
};

/// What is done to jobs. Those that are in another state than the action is for are left alone.
class JobAction {
 public:
  /// Dead jobs: pending again, with all attempts.
  static JobAction retry() { return JobAction("retry"); }
  /// Delayed jobs: due now.
  static JobAction run_now() { return JobAction("run_now"); }
  /// Live jobs: removed; who holds one finds its claim lost.
  static JobAction cancel() { return JobAction("cancel"); }
  /// Any: removed.
  static JobAction remove() { return JobAction("delete"); }
  /// Jobs that wait, and dead ones: to another queue.
  static JobAction move(std::string_view queue) { return JobAction(detail::JsonObject().add("move", queue).text()); }
  /// Live jobs: another priority.
  static JobAction priority(std::int64_t priority) {
    return JobAction(detail::JsonObject().add("priority", priority).text());
  }

  /// As the C ABI has it.
  const std::string& text() const noexcept { return text_; }

 private:
  explicit JobAction(std::string text) : text_(std::move(text)) {}

  std::string text_;
};

/// What an action has done.
struct Applied {
  std::int64_t changed = 0;
  /// How many jobs were passed over: another one has their unique key, or the file refuses the change.
  std::int64_t conflicts = 0;
  /// How many are left; empty where that would have to be counted.
  std::optional<std::int64_t> left = std::nullopt;
  /// Where the next page begins. Empty: this was the last one.
  std::optional<std::int64_t> cursor = std::nullopt;
};

/// The jobs that a filter finds, of any queue and state; made by Database::jobs(). Nothing is read before it is asked
/// for, a page at a time.
///
///     honker::JobFilter filter;
///     filter.states = {honker::JobState::dead};
///     for (const auto& job : db.jobs(filter)) std::cout << job.id << " " << job.last_error.value_or("") << "\n";
///     db.jobs(filter).apply(honker::JobAction::retry());
class JobList {
 public:
  /// Goes through the jobs, and throws what page() throws.
  class Iterator {
   public:
    using iterator_category = std::input_iterator_tag;
    using value_type = ListedJob;
    using difference_type = std::ptrdiff_t;
    using pointer = const ListedJob*;
    using reference = const ListedJob&;

    /// The end.
    Iterator() noexcept = default;
    explicit Iterator(const JobList& list) : list_(&list), page_(list.page()) { go_on(); }

    const ListedJob& operator*() const noexcept { return page_.jobs[at_]; }
    const ListedJob* operator->() const noexcept { return &page_.jobs[at_]; }
    Iterator& operator++() {
      ++at_;
      go_on();
      return *this;
    }
    void operator++(int) { ++*this; }

    friend bool operator==(const Iterator& a, const Iterator& b) noexcept {
      return (a.list_ == nullptr) == (b.list_ == nullptr);
    }
    friend bool operator!=(const Iterator& a, const Iterator& b) noexcept { return !(a == b); }

   private:
    /// To the next page that has jobs, if this one has no more.
    void go_on() {
      while (list_ != nullptr && at_ == page_.jobs.size()) {
        at_ = 0;
        if (page_.cursor) {
          page_ = list_->page(page_.cursor);
        } else {
          list_ = nullptr;
        }
      }
    }

    const JobList* list_ = nullptr;
    JobPage page_;
    std::size_t at_ = 0;
  };

  Iterator begin() const { return Iterator(*this); }
  Iterator end() const noexcept { return Iterator(); }

  /// A page of them, the first one, or that which begins at `cursor`. A filter that makes no sense is HONKER_INVALID.
  JobPage page(std::optional<std::int64_t> cursor = std::nullopt) const { return page(std::nothrow, cursor).value(); }
  Result<JobPage> page(std::nothrow_t, std::optional<std::int64_t> cursor = std::nullopt) const noexcept {
    const auto json = detail::text(core_, honker_job_list, detail::handle(core_), nullptr, filter_json(cursor, {}));
    if (!json.ok()) return json.error();
    return read_page(*json);
  }

  /// Does something to all of them, a page at a time, each in a commit of its own: others write in between, and what
  /// was done before an error stays.
  Applied apply(const JobAction& action) const { return apply(std::nothrow, action).value(); }
  Result<Applied> apply(std::nothrow_t, const JobAction& action) const noexcept {
    constexpr std::int64_t most = 1000;
    Applied all;
    do {
      const auto page = apply_in(nullptr, action, all.cursor, most);
      if (!page.ok()) return page;
      all = {all.changed + page->changed, all.conflicts + page->conflicts, page->left, page->cursor};
    } while (all.cursor);
    return all;
  }

  /// Does something to a page of them, in one commit.
  Applied apply_page(const JobAction& action, std::optional<std::int64_t> cursor = std::nullopt) const {
    return apply_page(std::nothrow, action, cursor).value();
  }
  Result<Applied> apply_page(std::nothrow_t, const JobAction& action,
                             std::optional<std::int64_t> cursor = std::nullopt) const noexcept {
    return apply_in(nullptr, action, cursor, {});
  }
  Applied apply_page_tx(Transaction& tx, const JobAction& action,
                        std::optional<std::int64_t> cursor = std::nullopt) const {
    return apply_page_tx(std::nothrow, tx, action, cursor).value();
  }
  Result<Applied> apply_page_tx(std::nothrow_t, Transaction& tx, const JobAction& action,
                                std::optional<std::int64_t> cursor = std::nullopt) const noexcept {
    return apply_in(tx.handle(), action, cursor, {});
  }

 private:
  friend class Database;

  static constexpr const char* state_names[] = {"due", "delayed", "processing", "blocked", "dead", "done", "other"};

  JobList(detail::CorePtr core, JobFilter filter) noexcept : core_(std::move(core)), filter_(std::move(filter)) {}

  std::string filter_json(std::optional<std::int64_t> cursor, std::optional<std::int64_t> page_size) const {
    detail::JsonObject object;
    object.add("queue", filter_.queue);
    std::string states;
    for (const JobState state : filter_.states) {
      states += (states.empty() ? "" : ",") + detail::json_text(state_names[static_cast<std::size_t>(state)]);
    }
    if (!states.empty()) object.add_raw("state", "[" + states + "]");
    object.add("min_id", filter_.min_id).add("max_id", filter_.max_id).add("worker_id", filter_.worker_id);
    object.add("unique_key", filter_.unique_key).add("batch_id", filter_.batch_id);
    detail::JsonObject metadata;
    for (const auto& [key, value] : filter_.metadata) metadata.add(key, value);
    if (!metadata.is_empty()) object.add_raw("metadata", metadata.text());
    object.add("error", filter_.error).add("created_from", filter_.created_from).add("created_to", filter_.created_to);
    object.add("ended_from", filter_.ended_from).add("ended_to", filter_.ended_to);
    object.add("order", filter_.oldest_first ? "oldest" : "newest");
    object.add("limit", filter_.page_size ? filter_.page_size : page_size).add("cursor", cursor);
    return object.text();
  }

  static Result<JobPage> read_page(const std::string& json) {
    const auto answer = detail::answered(json);
    if (!answer.ok()) return answer.error();
    JobPage page;
    page.cursor = (*answer)["cursor"].integer();
    for (const auto& each : (*answer)["jobs"].elements()) {
      const auto number = [&each](std::string_view key) { return each[key].integer(); };
      const auto text = [&each](std::string_view key) { return each[key].text(); };
      ListedJob job;
      job.id = number("id").value_or(0);
      job.queue = text("queue").value_or("");
      job.payload = text("payload").value_or("");
      job.state = state_of(text("state").value_or(""));
      job.priority = number("priority").value_or(0);
      job.run_at = number("run_at").value_or(0);
      job.worker_id = text("worker_id");
      job.claim_expires_at = number("claim_expires_at");
      job.attempts = number("attempts").value_or(0);
      job.max_attempts = number("max_attempts").value_or(0);
      job.created_at = number("created_at").value_or(0);
      job.expires_at = number("expires_at");
      job.last_error = text("last_error");
      job.died_at = number("died_at");
      job.finished_at = number("finished_at");
      job.result = text("result");
      job.metadata = text("metadata").value_or("");
      job.unique_key = text("unique_key");
      job.concurrency_key = text("concurrency_key");
      job.batch_id = number("batch_id");
      page.jobs.push_back(std::move(job));
    }
    return page;
  }

  static JobState state_of(std::string_view name) {
    std::size_t state = 0;
    while (state < static_cast<std::size_t>(JobState::other) && name != state_names[state]) ++state;
    return static_cast<JobState>(state);
  }

  Result<Applied> apply_in(honker_tx_t* tx, const JobAction& action, std::optional<std::int64_t> cursor,
                           std::optional<std::int64_t> page_size) const {
    const auto json =
        detail::text(core_, honker_job_apply, detail::handle(core_), tx, filter_json(cursor, page_size), action.text());
    if (!json.ok()) return json.error();
    const auto answer = detail::answered(*json);
    if (!answer.ok()) return answer.error();
    const auto number = [&](std::string_view key) { return (*answer)[key].integer(); };
    return Applied{number("changed").value_or(0), number("conflicts").value_or(0), number("left"), number("cursor")};
  }

  detail::CorePtr core_;
  JobFilter filter_;
};

}  // namespace honker

#endif  // HONKER_JOB_LIST_HPP
