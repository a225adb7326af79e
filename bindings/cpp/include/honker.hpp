// honker for C++: durable job queues, event streams, notifications, locks, rate limits, results, outboxes and a cron
// scheduler in the SQLite file that an application already has.
//
//     honker::Database db{"app.db"};
//     auto emails = db.queue("emails");
//     emails.enqueue(R"({"to":"alice@example.com"})");
//     if (auto job = emails.claim_one("worker-1")) {
//       send(job->payload());
//       job->ack();
//     }
//
// This header is all that a program includes. It needs C++17 and libhonker, which the program is linked with; it works
// with -fno-rtti, and with -fno-exceptions.
//
// FAILURES
//
// Every function that can fail exists twice. `q.enqueue(json)` throws honker::Error. `q.enqueue(std::nothrow, json)`
// takes the same arguments behind std::nothrow, throws nothing, and returns a honker::Result of the same type. What is
// said of the one is true of the other. Without exceptions (-fno-exceptions) the first kind prints the error and
// aborts.
//
// What has to be expected is no failure but an answer: nothing to claim is an empty optional, a claim that was lost is
// false. An operation that fails has done nothing. Running out of memory ends the process.
//
// TEXT AND TIMES
//
// Text is UTF-8 without a NUL in it, payloads are text that nobody parses (JSON by convention), names may be any text;
// other text is an Error of status HONKER_UTF8 or HONKER_INVALID. Ids, offsets and times have 64 bits. Times are Unix
// seconds, durations are seconds unless their name ends in _ms; what would overflow is HONKER_INVALID.
//
// TRANSACTIONS
//
// Without one, each call is committed when it returns, and has happened completely or not at all whenever the process
// may die. Functions that end in _tx take part in a Transaction instead, and happen or do not happen with it. While a
// thread has a transaction open, its calls that write have to go through it: others are HONKER_MISUSE.
//
// WAITING
//
// What waits (Jobs, Subscription, StreamSubscription, Leader, Updates) sleeps until something is committed to the file,
// by anyone in any process, and takes a Timeout: a duration of <chrono>, or honker::forever. That its time is over is
// an answer: an empty optional, nothing, or false; so is a wake() from another thread. Event loops poll the descriptor
// of Database::waiter(), which serves all of them. A Worker brings threads, and runs until it is told to stop.
//
// LIFETIMES AND THREADS
//
// Whatever comes from a Database keeps its file open and can be used after the Database object is gone. The file is
// closed with the last of them, or at once, for all of them, by Database::close(); calls after that are
// honker::ClosedError. An object that was moved from answers HONKER_MISUSE to everything and may be destroyed or
// assigned to. After a fork the child may only destroy what it has inherited (HONKER_FORKED).
//
// Database, Queue, Batch, JobList, Stream, Scheduler, Outbox and Lock may be used by any number of threads at the same
// time, as long as none of them moves, assigns or destroys the object. A Job, a Transaction, a Waiter and what waits
// are used by one thread at a time and may move between threads; wake() and close() of what waits are for any. Values,
// rows, events and errors are plain data. Nothing of the user's runs in a thread of the library's, except handlers in
// those of a Worker.

#ifndef HONKER_HPP
#define HONKER_HPP

#include "honker/database.hpp"
#include "honker/typed.hpp"

#endif  // HONKER_HPP
