//! What actors do with streams, notifications, results, locks and rate limits.

use honker_library::{NO_TIME, Place, status};

use crate::actor::{Actor, milliseconds};
use crate::ledger::Effect;

pub const TOPICS: &[&str] = &["t1", "t2", "t3"];
const CONSUMERS: &[&str] = &["c1", "c2"];
/// Where notifications are sent.
pub const CHANNEL: &str = "orders";
const LOCKS: &[&str] = &["l1", "l2", "l3", "l4"];
const LIMITS: &[&str] = &["r1", "r2"];

/// Uses of a rate limit in a second.
pub const LIMIT: i64 = 40;

/// The newest notifications that no prune takes.
pub const KEPT: i64 = 1000;

/// Job ids for the results of each actor.
pub const RESULTS: i64 = 8;

impl Actor {
    pub fn publish(&mut self, place: Place) {
        let (topic, name) = (self.one_of(TOPICS), self.fresh_name());
        let key = self.chance(2).then_some("key");
        let event = |offset| vec![Effect::Published(topic.to_owned(), offset, name.clone())];
        let publish = || place.publish(topic, key, &name);
        let _ = self.book("stream_publish", &[], &event(0), publish, |offset| event(*offset));
    }

    /// Reads on where this actor has come to. What is committed only: a transaction's own events may be taken back.
    pub fn read_stream(&mut self, _: Place) {
        let topic = self.one_of(TOPICS);
        let (mut offset, mut count) = self.cursors.get(topic).copied().unwrap_or_default();
        let answer = self.database.place().read_since(topic, offset, 200);
        let Ok(events) = self.call("stream_read_since", &[status::EMPTY], answer) else { return };
        for event in events {
            if event.offset <= offset || event.topic != topic || event.key.is_some_and(|key| key != "key") {
                self.complain(format!("after {offset} of {topic} came {} of {}", event.offset, event.topic));
            }
            offset = event.offset;
            count += 1;
        }
        self.cursors.insert(topic.to_owned(), (offset, count));
        self.ledger.done(vec![Effect::Seen(topic.to_owned(), offset, count)]);
    }

    pub fn save_offset(&mut self, place: Place) {
        let (consumer, topic) = (self.one_of(CONSUMERS), self.one_of(TOPICS));
        let (read, _) = self.cursors.get(topic).copied().unwrap_or_default();
        let offset = if self.chance(2) { read } else { self.random.i64(0..read + 1) };
        let done = vec![Effect::Saved(consumer.to_owned(), topic.to_owned(), offset)];
        let save = || place.save_offset(consumer, topic, offset);
        let _ = self.book("stream_save_offset", &[status::EMPTY], &done, save, |()| done.clone());
    }

    /// Outside of a transaction: what it had saved may be taken back.
    pub fn get_offset(&mut self, _: Place) {
        let (consumer, topic) = (self.one_of(CONSUMERS), self.one_of(TOPICS));
        let answer = self.database.place().get_offset(consumer, topic);
        let Ok(offset) = self.call("stream_get_offset", &[], answer) else { return };
        let floor = self.floors.entry((consumer.to_owned(), topic.to_owned())).or_default();
        let before = std::mem::replace(floor, offset);
        if offset < before {
            self.complain(format!("the offset of {consumer} in {topic} went from {before} back to {offset}"));
        }
    }

    pub fn notify(&mut self, place: Place) {
        let name = self.fresh_name();
        let row = |id| vec![Effect::Notified(id, name.clone())];
        let _ = self.book("notify", &[], &row(0), || place.notify(CHANNEL, &name), |id| row(*id));
    }

    pub fn prune(&mut self, place: Place) {
        let older_than_s = if self.chance(2) { NO_TIME } else { 3600 };
        let _ = self.call("notifications_prune", &[], place.notifications_prune(older_than_s, KEPT));
    }

    /// Only this actor writes to its job ids, so that it is known which value is the last.
    pub fn save_result(&mut self, place: Place) {
        let job = self.number * RESULTS + self.random.i64(1..RESULTS);
        let name = self.fresh_name();
        let number = self.number_of(&name);
        let done = vec![Effect::Result(job, number)];
        let save = || place.result_save(job, &number.to_string(), 0);
        let _ = self.book("result_save", &[], &done, save, |()| done.clone());
        // One that expires, for those who sweep.
        let brief = place.result_save(self.number * RESULTS, "brief", 1);
        let _ = self.call("result_save", &[], brief);
    }

    /// Anybody's: the numbers must never go back. Outside of a transaction, as above.
    pub fn get_result(&mut self, _: Place) {
        let job = self.random.i64(0..16) * RESULTS + self.random.i64(0..RESULTS);
        let answer = self.database.place().result_get(job);
        let Ok(value) = self.call("result_get", &[status::EMPTY], answer) else { return };
        if job % RESULTS == 0 {
            return;
        }
        let number = value.parse().unwrap_or_default();
        let before = self.results.insert(job, number).unwrap_or_default();
        if number < before || number == 0 {
            self.complain(format!("the result of {job} went from {before} to {value}"));
        }
    }

    pub fn sweep_results(&mut self, place: Place) {
        let _ = self.call("result_sweep", &[], place.result_sweep());
    }

    /// Takes a lock, or prolongs it.
    pub fn lock(&mut self, place: Place) {
        let (lock, owner) = (self.one_of(LOCKS), self.name.clone());
        let renewed = self.locks.contains_key(lock);
        let ttl_s = self.random.i64(2..4);
        // It is sure to be ours from when the call has returned to a second before it would run out, counted from when
        // the call was made.
        let until = milliseconds() + (ttl_s - 1) * 1000;
        let done = |()| vec![Effect::Locked(lock.to_owned(), milliseconds(), until)];
        let locked = if renewed {
            self.book(
                "lock_renew",
                &[status::LOST],
                &[],
                || place.lock_renew(lock, &owner, ttl_s),
                |()| done(()),
            )
        } else {
            self.book(
                "lock_acquire",
                &[status::HELD],
                &[],
                || place.lock_acquire(lock, &owner, ttl_s),
                |()| done(()),
            )
        };
        match locked {
            Ok(()) => drop(self.locks.insert(lock.to_owned(), until)),
            Err(status::LOST) => self.lost(lock),
            Err(_) => {}
        }
    }

    pub fn unlock(&mut self, place: Place) {
        let lock = self.one_of(LOCKS);
        let own = LOCKS.iter().find(|own| self.locks.contains_key(**own)).copied();
        let lock = own.unwrap_or(lock);
        if own.is_none() {
            let answer = place.lock_release(lock, &self.name);
            if self.call("lock_release", &[status::LOST], answer).is_ok() {
                self.complain(format!("{lock} could be released without having it"));
            }
            return;
        }
        // Before it is given up, in any process: the next may have it before this call returns.
        self.ledger.done(vec![Effect::Unlocked(lock.to_owned(), milliseconds())]);
        let answer = place.lock_release(lock, &self.name);
        match self.call("lock_release", &[status::LOST], answer) {
            Ok(()) => drop(self.locks.remove(lock)),
            Err(status::LOST) => self.lost(lock),
            Err(_) => {}
        }
    }

    /// Nobody may have taken a lock whose time is not over.
    fn lost(&mut self, lock: &str) {
        let until = self.locks.remove(lock).unwrap_or_default();
        if milliseconds() < until {
            self.complain(format!("{lock} was lost before its time was over"));
        }
    }

    pub fn count(&mut self, place: Place) {
        let limit = self.one_of(LIMITS);
        let before = milliseconds() / 1000;
        let done = |()| {
            let sure = milliseconds() / 1000 == before;
            if sure { vec![Effect::Counted(limit.to_owned(), before)] } else { Vec::new() }
        };
        let counted = || place.rate_limit_try(limit, LIMIT, 1);
        let _ = self.book("rate_limit_try", &[status::LIMITED], &[], counted, |()| done(()));
    }

    pub fn sweep_counts(&mut self, place: Place) {
        let _ = self.call("rate_limit_sweep", &[], place.rate_limit_sweep(20));
    }

    fn number_of(&self, name: &str) -> u64 {
        name.split(':').nth(1).and_then(|number| number.parse().ok()).unwrap_or_default()
    }
}
