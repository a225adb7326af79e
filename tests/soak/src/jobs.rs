//! What actors do with jobs.

use honker_library::{Cell, EnqueueOptions, Place, Status, enqueue_options, status};

use crate::actor::{Actor, milliseconds};
use crate::ledger::Effect;

const QUEUES: &[&str] = &["q1", "q2", "q3"];
/// With the queue that schedules enqueue into. Nothing is ever purged there.
pub const ALL_QUEUES: &[&str] = &["q1", "q2", "q3", "fired"];

/// How many jobs an actor remembers, to settle them or to look at them.
const REMEMBERED: usize = 200;

impl Actor {
    pub fn enqueue(&mut self, place: Place) {
        let (queue, name, options) = (self.one_of(QUEUES), self.fresh_name(), self.options());
        let payload = self.payload(&name);
        let options = (!self.chance(3)).then_some(&options);
        let job = |id| vec![Effect::Enqueued(id, name.clone())];
        let enqueue = || place.enqueue(queue, &payload, options);
        if let Ok(id) = self.book("enqueue", &[], &job(0), enqueue, |id| job(*id)) {
            self.remember(id);
        }
    }

    pub fn enqueue_many(&mut self, place: Place) {
        let (queue, options) = (self.one_of(QUEUES), self.options());
        let names: Vec<String> = (0..self.random.usize(..12)).map(|_| self.fresh_name()).collect();
        let payloads: Vec<String> = names.iter().map(|name| self.payload(name)).collect();
        let payloads: Vec<&str> = payloads.iter().map(String::as_str).collect();
        let job = |(id, name): (&i64, &String)| Effect::Enqueued(*id, name.clone());
        let intent: Vec<Effect> = names.iter().map(|name| job((&0, name))).collect();
        let enqueue = || place.enqueue_many(queue, &payloads, Some(&options));
        let done = |ids: &Vec<i64>| ids.iter().zip(&names).map(job).collect();
        if let Ok(ids) = self.book("enqueue_many", &[], &intent, enqueue, done) {
            if ids.windows(2).any(|pair| pair[0] >= pair[1]) {
                self.complain(format!("enqueue_many answered ids that do not increase: {ids:?}"));
            }
            ids.into_iter().for_each(|id| self.remember(id));
        }
    }

    pub fn claim(&mut self, place: Place) {
        let (queue, worker) = (self.one_of(ALL_QUEUES), self.name.clone());
        let n = if self.chance(3) { self.random.i64(0..48) } else { 1 };
        // Some lapse at once, and some while they are held.
        let timeout_s = if self.chance(12) { -1 } else { self.random.i64(2..8) };
        let claim = || place.claim(queue, &worker, n, timeout_s)?.all();
        let done = |jobs: &Vec<honker_library::ClaimedJob>| {
            jobs.iter().map(|job| Effect::Claimed(job.id, job.attempts, name_of(&job.payload))).collect()
        };
        let Ok(jobs) = self.book("claim", &[status::EMPTY], &[], claim, done) else { return };
        if jobs.is_empty() || jobs.len() as i64 > n {
            self.complain(format!("a claim of {n} answered {} jobs", jobs.len()));
        }
        for job in jobs {
            if job.worker_id != self.name {
                self.complain(format!("{} claimed job {} for {}", self.name, job.id, job.worker_id));
            }
            self.held.retain(|(id, _)| *id != job.id);
            if timeout_s > 0 {
                self.held.push((job.id, job.claim_expires_at));
                self.just_claimed.push(job.id);
            }
        }
        if self.held.len() > REMEMBERED {
            self.held.drain(..REMEMBERED / 2);
        }
    }

    pub fn ack(&mut self, place: Place) {
        let Some((id, until)) = self.take_held() else { return };
        let (worker, done) = (self.name.clone(), vec![Effect::Acked(id)]);
        let acked = self.book("ack", &[status::LOST], &done, || place.ack(id, &worker), |()| done.clone());
        self.settled(id, until, acked);
    }

    pub fn ack_batch(&mut self, place: Place) {
        let mut ids: Vec<i64> =
            (0..self.random.usize(2..20)).filter_map(|_| self.take_held()).map(|(id, _)| id).collect();
        ids.sort_unstable();
        ids.dedup();
        let worker = self.name.clone();
        let intent: Vec<Effect> = ids.iter().map(|id| Effect::PerhapsAcked(*id)).collect();
        let done = |acked: &i64| match *acked as usize {
            0 => Vec::new(),
            all if all == ids.len() => ids.iter().map(|id| Effect::Acked(*id)).collect(),
            _ => intent.clone(),
        };
        let _ = self.book("ack_batch", &[], &intent, || place.ack_batch(&ids, &worker), done);
    }

    /// Nobody may settle what another holds.
    pub fn ack_of_another(&mut self, place: Place) {
        let Some(id) = self.some_job() else { return };
        for (call, answer) in [
            ("ack", place.ack(id, "nobody")),
            ("fail", place.fail(id, "nobody", "")),
            ("retry", place.retry(id, "nobody", 0, "")),
            ("heartbeat", place.heartbeat(id, "nobody", 60)),
        ] {
            if self.call(call, &[status::LOST], answer).is_ok() {
                self.complain(format!("nobody could {call} job {id}"));
            }
        }
    }

    pub fn retry(&mut self, place: Place) {
        let Some((id, until)) = self.take_held() else { return };
        let (worker, delay_s) = (self.name.clone(), self.random.i64(-2..3));
        let retry = || place.retry(id, &worker, delay_s, "again");
        let retried = self.book("retry", &[status::LOST], &[], retry, |()| Vec::new());
        self.settled(id, until, retried);
    }

    pub fn fail(&mut self, place: Place) {
        let Some((id, until)) = self.take_held() else { return };
        let worker = self.name.clone();
        let fail = || place.fail(id, &worker, "never");
        let failed = self.book("fail", &[status::LOST], &[], fail, |()| Vec::new());
        self.settled(id, until, failed);
    }

    pub fn heartbeat(&mut self, place: Place) {
        let Some((id, until)) = self.take_held() else { return };
        // At the earliest. In a transaction that is rolled back the claim is as it was.
        let until_then = until.min(milliseconds() / 1000 + 5);
        let answer = place.heartbeat(id, &self.name, 5);
        let prolonged = self.call("heartbeat", &[status::LOST], answer);
        if prolonged.is_ok() {
            self.held.push((id, until_then));
        }
        self.settled(id, until, prolonged);
    }

    pub fn cancel(&mut self, place: Place) {
        let Some(id) = self.some_job() else { return };
        let done = vec![Effect::Cancelled(id)];
        let _ = self.book("cancel", &[status::EMPTY], &done, || place.cancel(id), |()| done.clone());
    }

    pub fn sweep_expired(&mut self, place: Place) {
        let queue = self.one_of(QUEUES);
        let _ = self.call("sweep_expired", &[], place.sweep_expired(queue));
    }

    pub fn next_claim_at(&mut self, place: Place) {
        let queue = self.one_of(ALL_QUEUES);
        let _ = self.call("queue_next_claim_at", &[status::EMPTY], place.next_claim_at(queue));
    }

    pub fn get_job(&mut self, place: Place) {
        let Some(id) = self.some_job() else { return };
        if let Ok(text) = self.call("get_job", &[status::EMPTY], place.get_job(id)) {
            let job: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
            if job["id"] != id {
                self.complain(format!("get_job of {id} answered {text}"));
            }
        }
    }

    pub fn stats(&mut self) {
        let queue = self.one_of(ALL_QUEUES);
        let (all, one) =
            (self.database.place().queue_stats(None), self.database.place().queue_stats(Some(queue)));
        for answer in [all, one] {
            let _ = self.call("queue_stats", &[], answer);
        }
    }

    pub fn dead_list(&mut self, place: Place) {
        let queue = self.one_of(ALL_QUEUES);
        let _ = self.call("dead_list", &[], place.dead_list(Some(queue), 10));
    }

    pub fn dead_requeue(&mut self, place: Place) {
        // Which are dead is asked outside of any transaction: they may not be any more.
        let answer = self.database.query("SELECT id FROM _honker_dead ORDER BY id DESC LIMIT 20", &[]);
        let Ok(rows) = self.call("query", &[], answer) else { return };
        let Some(id) = self.random.choice(numbers(&rows)) else { return };
        let done = vec![Effect::Requeued(id)];
        let requeue = || place.dead_requeue(id);
        let _ = self.book("dead_requeue", &[status::EMPTY], &done, requeue, |()| done.clone());
    }

    /// Purges the dead of a queue, and says which they were: those before, less those after, in one transaction.
    pub fn purge(&mut self, _: Place) {
        let queue = self.one_of(QUEUES);
        let dead = honker_library::Parameter::Text(queue);
        let sql = "SELECT id FROM _honker_dead WHERE queue = ?1";
        self.in_transaction(|actor, transaction| {
            let before = actor.call("tx_query", &[], transaction.query(sql, &[dead]))?;
            let purged = actor.call("dead_purge", &[], transaction.place().dead_purge(Some(queue), 1))?;
            let after = actor.call("tx_query", &[], transaction.query(sql, &[dead]))?;
            let after: std::collections::HashSet<i64> = numbers(&after).into_iter().collect();
            let gone: Vec<i64> = numbers(&before).into_iter().filter(|id| !after.contains(id)).collect();
            if gone.len() as i64 != purged {
                actor.complain(format!("dead_purge answered {purged}, and {} are gone", gone.len()));
            }
            actor.ledger.done(gone.into_iter().map(Effect::Purged).collect());
            Ok(())
        });
    }

    pub fn options(&mut self) -> EnqueueOptions {
        let mut options = enqueue_options();
        match self.random.u32(..6) {
            0 => options.delay_s = self.random.i64(-2..3),
            1 => options.run_at = milliseconds() / 1000 + self.random.i64(-5..3),
            _ => {}
        }
        if self.chance(8) {
            options.expires_s = self.random.i64(0..4);
        }
        options.priority = self.random.i64(-1..3);
        options.max_attempts = self.random.i64(1..5);
        options
    }

    /// A name, and sometimes so much behind it that the row does not fit into a page.
    pub fn payload(&mut self, name: &str) -> String {
        let padding = if self.chance(50) { 6000 } else { self.random.usize(..100) };
        format!("{name} {}", "x".repeat(padding))
    }

    pub fn remember(&mut self, id: i64) {
        if self.recent.len() < REMEMBERED {
            self.recent.push(id);
        } else {
            let index = self.random.usize(..REMEMBERED);
            self.recent[index] = id;
        }
    }

    /// A job that the actor held until then is settled, or is not the actor's any more.
    fn settled(&mut self, id: i64, until: i64, outcome: Result<(), Status>) {
        if outcome == Err(status::LOST) && milliseconds() / 1000 <= until {
            self.ledger.done(vec![Effect::LostEarly(id)]);
        }
    }

    fn some_job(&mut self) -> Option<i64> {
        if self.chance(3) {
            self.random.choice(&self.held).map(|(id, _)| *id)
        } else {
            self.random.choice(&self.recent).copied()
        }
    }

    fn take_held(&mut self) -> Option<(i64, i64)> {
        let count = self.held.len();
        (count > 0).then(|| self.held.swap_remove(self.random.usize(..count)))
    }
}

/// What a job was called by who enqueued it.
pub fn name_of(payload: &str) -> String {
    payload.split(' ').next().unwrap_or_default().to_owned()
}

pub fn numbers(rows: &[Vec<Cell>]) -> Vec<i64> {
    let number = |row: &Vec<Cell>| match row.first() {
        Some(Cell::Integer(number)) => Some(*number),
        _ => None,
    };
    rows.iter().filter_map(number).collect()
}
