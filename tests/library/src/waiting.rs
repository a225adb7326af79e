//! One waiter, and the consumers that wait with it. A thread each; they are asked without waiting, when they are named.

use std::ptr;

use crate::queue::{ClaimedJob, Jobs};
use crate::raw::{
    self, EventView, LostJobView, NotificationView, SubscriptionOptions, WorkerOptions, WorkerQueue,
};
use crate::schedule::{Fire, fires_of};
use crate::{Answer, Database, Owned, borrowed, call, functions, owned, size_of, status};

/// Waits for commits and deadlines.
pub struct Waiter(Owned<raw::Waiter>);

/// Claims jobs of several queues, and has them in hand.
pub struct Worker(Owned<raw::Worker>);

/// Hears the notifications of a channel.
pub struct Listener(Owned<raw::Listener>);

/// Is given the events of a topic.
pub struct Subscription(Owned<raw::Subscription>);

/// Fires schedules, or stands by.
pub struct Leader(Owned<raw::Leader>);

/// What becomes of a job.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Verdict {
    /// It is done.
    Ack,
    /// It is tried again, after the worker's own delay.
    Retry,
    /// It is dead.
    Fail,
    /// It goes back, with its attempt, for a second.
    Snooze,
    /// It goes back, with its attempt.
    Release,
}

/// A job that a worker has lost.
#[derive(Debug, Clone, Copy)]
pub struct Lost {
    /// Its id.
    pub id: i64,
    /// The claim of it.
    pub serial: i64,
    /// One of HONKER_LOST_*.
    pub reason: u32,
}

/// What a worker was given, and has lost.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    /// The jobs.
    pub jobs: Vec<ClaimedJob>,
    /// Those that are its own no more.
    pub lost: Vec<Lost>,
}

// SAFETY, here and below: pointers and lengths are those of Rust texts and slices that outlive the call, outputs are
// places on the stack, and handles are checked by the library.
impl Waiter {
    /// A waiter for a database.
    pub fn new(database: Database) -> Answer<Self> {
        let mut handle = ptr::null_mut();
        let answer = call(|error| {
            // SAFETY: see above.
            unsafe { (functions().honker_waiter_new)(database.0, &mut handle, error) }
        });
        // A warning is no failure.
        match answer {
            Err(failure) if failure.status < 0 || handle.is_null() => Err(failure),
            _ => Ok(Waiter(Owned::new(handle, functions().honker_waiter_free))),
        }
    }

    /// Waits until one of its consumers has work. `Err` has HONKER_TIMEOUT if none has.
    pub fn wait(&self, timeout_ms: i64) -> Answer<()> {
        // SAFETY: see above.
        call(|error| unsafe { (functions().honker_wait)(self.0.handle, timeout_ms, error) })
    }

    /// The tokens of those that have work.
    pub fn ready(&self) -> Answer<Vec<u64>> {
        let (mut tokens, mut count) = ([0; 8], 0);
        // SAFETY: see above; the library is told how much room there is.
        call(|error| unsafe {
            (functions().honker_waiter_ready)(
                self.0.handle,
                tokens.as_mut_ptr(),
                tokens.len(),
                &mut count,
                error,
            )
        })?;
        Ok(tokens[..count].to_vec())
    }

    /// A worker on these queues, each with that many of its jobs in hand at most.
    pub fn worker(
        &self,
        database: Database,
        token: u64,
        queues: &[(&str, i64)],
        id: &str,
        visibility_timeout_s: i64,
        max_run_s: i64,
    ) -> Answer<Worker> {
        let queue = |(name, in_hand_max): &(&str, i64)| WorkerQueue {
            struct_size: size_of::<WorkerQueue>(),
            reserved: 0,
            name: borrowed(name),
            weight: 1,
            in_hand_max: *in_hand_max,
        };
        let queues: Vec<WorkerQueue> = queues.iter().map(queue).collect();
        let options = WorkerOptions {
            struct_size: size_of::<WorkerOptions>(),
            reserved: 0,
            visibility_timeout_s,
            fallback_ms: 1000,
            max_run_s,
            retry_base_s: 15,
            retry_max_s: 3600,
            retry_factor: 2.0,
            retry_jitter: 0.1,
            heartbeat: 1,
            rescue: 0,
        };
        let mut handle = ptr::null_mut();
        // SAFETY: see above.
        call(|error| unsafe {
            (functions().honker_worker_new)(
                database.0,
                self.0.handle,
                token,
                queues.as_ptr(),
                queues.len(),
                id.as_ptr(),
                id.len(),
                &options,
                &mut handle,
                error,
            )
        })?;
        Ok(Worker(Owned::new(handle, functions().honker_worker_free)))
    }

    /// A listener on a channel.
    pub fn listener(&self, database: Database, token: u64, channel: &str) -> Answer<Listener> {
        let mut handle = ptr::null_mut();
        // SAFETY: see above.
        call(|error| unsafe {
            (functions().honker_listener_new)(
                database.0,
                self.0.handle,
                token,
                channel.as_ptr(),
                channel.len(),
                1000,
                &mut handle,
                error,
            )
        })?;
        Ok(Listener(Owned::new(handle, functions().honker_listener_free)))
    }

    /// A subscription that keeps its offset as `consumer`.
    pub fn subscription(
        &self,
        database: Database,
        token: u64,
        topic: &str,
        consumer: &str,
    ) -> Answer<Subscription> {
        let options = SubscriptionOptions {
            struct_size: size_of::<SubscriptionOptions>(),
            reserved: 0,
            consumer: borrowed(consumer),
            from_offset: raw::NO_TIME,
            save_every_n: 1000,
            save_every_ms: 1000,
        };
        let mut handle = ptr::null_mut();
        // SAFETY: see above.
        call(|error| unsafe {
            (functions().honker_subscription_new)(
                database.0,
                self.0.handle,
                token,
                topic.as_ptr(),
                topic.len(),
                &options,
                &mut handle,
                error,
            )
        })?;
        Ok(Subscription(Owned::new(handle, functions().honker_subscription_free)))
    }

    /// A candidate for leadership.
    pub fn leader(&self, database: Database, token: u64, owner: &str) -> Answer<Leader> {
        let mut handle = ptr::null_mut();
        // SAFETY: see above.
        call(|error| unsafe {
            (functions().honker_leader_new)(
                database.0,
                self.0.handle,
                token,
                owner.as_ptr(),
                owner.len(),
                &mut handle,
                error,
            )
        })?;
        Ok(Leader(Owned::new(handle, functions().honker_leader_free)))
    }
}

impl Worker {
    /// Settles jobs, and takes up to `n` more. For each settlement its status: 0 or more, and it is committed, whatever the
    /// rest says.
    pub fn settle_next(
        &self,
        settlements: &[(i64, i64, Verdict)],
        n: i64,
    ) -> (Vec<raw::Status>, Answer<Batch>) {
        let settlement = |(id, serial, verdict): &(i64, i64, Verdict)| raw::Settlement {
            kind: *verdict as u32,
            status: status::INTERNAL,
            id: *id,
            serial: *serial,
            delay_s: if *verdict == Verdict::Snooze { 1 } else { raw::NO_TIME },
            error: borrowed("soak"),
        };
        let mut given: Vec<raw::Settlement> = settlements.iter().map(settlement).collect();
        let mut jobs = ptr::null_mut();
        // SAFETY: see above.
        let answer = call(|error| unsafe {
            (functions().honker_worker_settle_next)(
                self.0.handle,
                given.as_mut_ptr(),
                given.len(),
                n,
                0,
                &mut jobs,
                error,
            )
        });
        let statuses = given.iter().map(|given| given.status).collect();
        (statuses, answer.and_then(|()| batch_of(Jobs(Owned::new(jobs, functions().honker_jobs_free)))))
    }
}

fn batch_of(jobs: Jobs) -> Answer<Batch> {
    let nothing = LostJobView {
        struct_size: size_of::<LostJobView>(),
        reserved: 0,
        id: 0,
        serial: 0,
        reason: 0,
        reserved_2: 0,
    };
    let mut lost = Vec::new();
    loop {
        let (mut views, mut read) = ([nothing; 4], 0);
        // SAFETY: a handle of the library's; views that say their size, and how many they are.
        call(|error| unsafe {
            (functions().honker_jobs_lost)(
                jobs.0.handle,
                lost.len(),
                views.as_mut_ptr(),
                views.len(),
                &mut read,
                error,
            )
        })?;
        lost.extend(views[..read].iter().map(|view| Lost {
            id: view.id,
            serial: view.serial,
            reason: view.reason,
        }));
        if read < views.len() {
            return Ok(Batch { jobs: jobs.all()?, lost });
        }
    }
}

impl Listener {
    /// The next notification: its id and payload.
    pub fn next(&self) -> Answer<(i64, String)> {
        let none = raw::Bytes { data: ptr::null(), len: 0 };
        let mut view = NotificationView {
            struct_size: size_of::<NotificationView>(),
            reserved: 0,
            id: 0,
            channel: none,
            payload: none,
            created_at: 0,
        };
        // SAFETY: see above.
        call(|error| unsafe { (functions().honker_listener_next)(self.0.handle, 0, &mut view, error) })?;
        Ok((view.id, owned(view.payload).unwrap_or_default()))
    }
}

impl Subscription {
    /// The offset of the next event.
    pub fn next(&self) -> Answer<i64> {
        let none = raw::Bytes { data: ptr::null(), len: 0 };
        let mut view = EventView {
            struct_size: size_of::<EventView>(),
            reserved: 0,
            offset: 0,
            topic: none,
            key: none,
            payload: none,
            created_at: 0,
        };
        // SAFETY: see above.
        call(|error| unsafe { (functions().honker_subscription_next)(self.0.handle, 0, &mut view, error) })?;
        Ok(view.offset)
    }
}

impl Leader {
    /// What was fired in one turn.
    pub fn next(&self) -> Answer<Vec<Fire>> {
        let mut fires = ptr::null_mut();
        // SAFETY: see above.
        call(|error| unsafe { (functions().honker_leader_next)(self.0.handle, 0, &mut fires, error) })?;
        fires_of(fires)
    }
}
