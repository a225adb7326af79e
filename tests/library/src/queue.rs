//! Jobs: enqueue, claim, settle, look at, and the dead.

use std::ptr;

use crate::raw::{self, Bytes, EnqueueOptions, EnqueueResult, JobSpec, JobView};
use crate::{Answer, Owned, Place, call, functions, owned, size_of, take_text};

/// HONKER_ENQUEUE_OPTS_INIT.
pub fn enqueue_options() -> EnqueueOptions {
    EnqueueOptions {
        struct_size: size_of::<EnqueueOptions>(),
        reserved: 0,
        run_at: raw::NO_TIME,
        delay_s: raw::NO_TIME,
        expires_s: raw::NO_TIME,
        priority: 0,
        max_attempts: 3,
        metadata: raw::Bytes { data: ptr::null(), len: 0 },
        concurrency_key: raw::Bytes { data: ptr::null(), len: 0 },
        batch_id: 0,
        member_job_id: 0,
        member_worker_id: raw::Bytes { data: ptr::null(), len: 0 },
        unique_key: raw::Bytes { data: ptr::null(), len: 0 },
        unique_until: 0,
        on_conflict: 0,
        unique_for_s: 0,
        max_run_s: 0,
    }
}

/// What a claim took; freed when dropped.
pub struct Jobs(pub(crate) Owned<raw::Jobs>);

/// One job of a claim.
#[derive(Debug, Clone)]
pub struct ClaimedJob {
    /// Its id.
    pub id: i64,
    /// As it was enqueued.
    pub payload: String,
    /// Who holds it.
    pub worker_id: String,
    /// How often it was claimed, with this time.
    pub attempts: i64,
    /// The last second of the claim.
    pub claim_expires_at: i64,
    /// Names the claim, for a worker.
    pub serial: i64,
}

impl Jobs {
    /// How many.
    pub fn count(&self) -> Answer<usize> {
        let mut len = 0;
        // SAFETY: a handle, which the library checks; a place for the answer.
        call(|error| unsafe { (functions().honker_jobs_len)(self.0.handle, &mut len, error) })?;
        Ok(len)
    }

    /// The id of one, without copying the rest.
    pub fn id(&self, index: usize) -> Answer<i64> {
        Ok(self.view(index)?.id)
    }

    /// Copies of them all.
    pub fn all(&self) -> Answer<Vec<ClaimedJob>> {
        (0..self.count()?)
            .map(|index| {
                let view = self.view(index)?;
                Ok(ClaimedJob {
                    id: view.id,
                    payload: owned(view.payload).unwrap_or_default(),
                    worker_id: owned(view.worker_id).unwrap_or_default(),
                    attempts: view.attempts,
                    claim_expires_at: view.claim_expires_at,
                    serial: view.serial,
                })
            })
            .collect()
    }

    fn view(&self, index: usize) -> Answer<JobView> {
        let none = Bytes { data: ptr::null(), len: 0 };
        let mut view = JobView {
            struct_size: size_of::<JobView>(),
            reserved: 0,
            id: 0,
            queue: none,
            payload: none,
            worker_id: none,
            attempts: 0,
            claim_expires_at: 0,
            serial: 0,
            max_attempts: 0,
            metadata: none,
        };
        // SAFETY: a handle, which the library checks; a struct that says its size.
        call(|error| unsafe { (functions().honker_jobs_get)(self.0.handle, index, &mut view, error) })?;
        Ok(view)
    }
}

// SAFETY, here and below: pointers and lengths are those of Rust texts and slices that outlive the call, outputs are
// places on the stack, and handles are checked by the library.
impl Place {
    /// Adds a job; its id.
    pub fn enqueue(self, queue: &str, payload: &str, options: Option<&EnqueueOptions>) -> Answer<i64> {
        let options = options.map_or(ptr::null(), ptr::from_ref);
        let mut id = 0;
        // SAFETY: see above.
        call(|error| unsafe {
            (functions().honker_enqueue)(
                self.db,
                self.tx,
                queue.as_ptr(),
                queue.len(),
                payload.as_ptr(),
                payload.len(),
                options,
                &mut id,
                error,
            )
        })?;
        Ok(id)
    }

    /// Adds a job for each payload; their ids.
    pub fn enqueue_many(
        self,
        queue: &str,
        payloads: &[&str],
        options: Option<&EnqueueOptions>,
    ) -> Answer<Vec<i64>> {
        let spec = |payload: &&str| JobSpec {
            struct_size: size_of::<JobSpec>(),
            reserved: 0,
            queue: crate::borrowed(queue),
            payload: crate::borrowed(payload),
            opts: options.map_or(ptr::null(), ptr::from_ref),
        };
        let specs: Vec<JobSpec> = payloads.iter().map(spec).collect();
        let mut results = vec![EnqueueResult { id: 0, status: 0, reserved: 0 }; specs.len()];
        // SAFETY: see above; `results` has room for as many as there are specs.
        call(|error| unsafe {
            (functions().honker_enqueue_many)(
                self.db,
                self.tx,
                specs.as_ptr(),
                specs.len(),
                results.as_mut_ptr(),
                error,
            )
        })?;
        Ok(results.iter().map(|result| result.id).collect())
    }

    /// Claims up to `n` jobs.
    pub fn claim(self, queue: &str, worker: &str, n: i64, timeout_s: i64) -> Answer<Jobs> {
        let mut jobs = ptr::null_mut();
        // SAFETY: see above.
        call(|error| unsafe {
            (functions().honker_claim)(
                self.db,
                self.tx,
                queue.as_ptr(),
                queue.len(),
                worker.as_ptr(),
                worker.len(),
                n,
                timeout_s,
                &mut jobs,
                error,
            )
        })?;
        Ok(Jobs(Owned::new(jobs, functions().honker_jobs_free)))
    }

    /// The job is done.
    pub fn ack(self, id: i64, worker: &str) -> Answer<()> {
        // SAFETY: see above.
        call(|error| unsafe {
            (functions().honker_ack)(self.db, self.tx, id, worker.as_ptr(), worker.len(), error)
        })
    }

    /// The jobs are done; how many were still held.
    pub fn ack_batch(self, ids: &[i64], worker: &str) -> Answer<i64> {
        let mut acked = 0;
        // SAFETY: see above.
        call(|error| unsafe {
            (functions().honker_ack_batch)(
                self.db,
                self.tx,
                ids.as_ptr(),
                ids.len(),
                worker.as_ptr(),
                worker.len(),
                &mut acked,
                error,
            )
        })?;
        Ok(acked)
    }

    /// The job could not be done now.
    pub fn retry(self, id: i64, worker: &str, delay_s: i64, text: &str) -> Answer<()> {
        // SAFETY: see above.
        call(|error| unsafe {
            (functions().honker_retry)(
                self.db,
                self.tx,
                id,
                worker.as_ptr(),
                worker.len(),
                delay_s,
                text.as_ptr(),
                text.len(),
                error,
            )
        })
    }

    /// The job can never be done.
    pub fn fail(self, id: i64, worker: &str, text: &str) -> Answer<()> {
        // SAFETY: see above.
        call(|error| unsafe {
            (functions().honker_fail)(
                self.db,
                self.tx,
                id,
                worker.as_ptr(),
                worker.len(),
                text.as_ptr(),
                text.len(),
                error,
            )
        })
    }

    /// The job takes longer.
    pub fn heartbeat(self, id: i64, worker: &str, extend_s: i64) -> Answer<()> {
        // SAFETY: see above.
        call(|error| unsafe {
            (functions().honker_heartbeat)(
                self.db,
                self.tx,
                id,
                worker.as_ptr(),
                worker.len(),
                extend_s,
                error,
            )
        })
    }

    /// Removes a job.
    pub fn cancel(self, id: i64) -> Answer<()> {
        // SAFETY: see above.
        call(|error| unsafe { (functions().honker_cancel)(self.db, self.tx, id, error) })
    }

    /// Moves expired jobs to the dead; how many.
    pub fn sweep_expired(self, queue: &str) -> Answer<i64> {
        let mut swept = 0;
        // SAFETY: see above.
        call(|error| unsafe {
            (functions().honker_sweep_expired)(
                self.db,
                self.tx,
                queue.as_ptr(),
                queue.len(),
                &mut swept,
                error,
            )
        })?;
        Ok(swept)
    }

    /// When a claim could next succeed.
    pub fn next_claim_at(self, queue: &str) -> Answer<i64> {
        let mut at = 0;
        // SAFETY: see above.
        call(|error| unsafe {
            (functions().honker_queue_next_claim_at)(
                self.db,
                self.tx,
                queue.as_ptr(),
                queue.len(),
                &mut at,
                error,
            )
        })?;
        Ok(at)
    }

    /// One job, as JSON.
    pub fn get_job(self, id: i64) -> Answer<String> {
        // SAFETY: see above.
        take_text(|text, error| unsafe { (functions().honker_get_job)(self.db, self.tx, id, text, error) })
    }

    /// How many jobs there are, as JSON.
    pub fn queue_stats(self, queue: Option<&str>) -> Answer<String> {
        let (data, len) = optional(queue);
        // SAFETY: see above.
        take_text(|text, error| unsafe {
            (functions().honker_queue_stats)(self.db, self.tx, data, len, text, error)
        })
    }

    /// The dead, as JSON.
    pub fn dead_list(self, queue: Option<&str>, limit: i64) -> Answer<String> {
        let (data, len) = optional(queue);
        // SAFETY: see above.
        take_text(|text, error| unsafe {
            (functions().honker_dead_list)(self.db, self.tx, data, len, limit, text, error)
        })
    }

    /// Makes a dead job live again.
    pub fn dead_requeue(self, id: i64) -> Answer<()> {
        // SAFETY: see above.
        call(|error| unsafe { (functions().honker_dead_requeue)(self.db, self.tx, id, error) })
    }

    /// Deletes old dead jobs; how many.
    pub fn dead_purge(self, queue: Option<&str>, older_than_s: i64) -> Answer<i64> {
        let (data, len) = optional(queue);
        let mut purged = 0;
        // SAFETY: see above.
        call(|error| unsafe {
            (functions().honker_dead_purge)(self.db, self.tx, data, len, older_than_s, &mut purged, error)
        })?;
        Ok(purged)
    }
}

fn optional(text: Option<&str>) -> (*const u8, usize) {
    text.map_or((ptr::null(), 0), |text| (text.as_ptr(), text.len()))
}
