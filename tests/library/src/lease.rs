//! Results, locks, rate limits.

use crate::{Answer, Place, call, functions, take_text};

// SAFETY, here and below: pointers and lengths are those of Rust texts and slices that outlive the call, outputs are
// places on the stack, and handles are checked by the library.
impl Place {
    /// Saves a result.
    pub fn result_save(self, job_id: i64, value: &str, ttl_s: i64) -> Answer<()> {
        // SAFETY: see above.
        call(|error| unsafe {
            (functions().honker_result_save)(
                self.db,
                self.tx,
                job_id,
                value.as_ptr(),
                value.len(),
                ttl_s,
                error,
            )
        })
    }

    /// A result.
    pub fn result_get(self, job_id: i64) -> Answer<String> {
        // SAFETY: see above.
        take_text(|text, error| unsafe {
            (functions().honker_result_get)(self.db, self.tx, job_id, text, error)
        })
    }

    /// Deletes expired results; how many.
    pub fn result_sweep(self) -> Answer<i64> {
        let mut answer = 0;
        // SAFETY: see above.
        call(|error| unsafe { (functions().honker_result_sweep)(self.db, self.tx, &mut answer, error) })?;
        Ok(answer)
    }

    /// Takes a lock.
    pub fn lock_acquire(self, name: &str, owner: &str, ttl_s: i64) -> Answer<()> {
        // SAFETY: see above.
        call(|error| unsafe {
            (functions().honker_lock_acquire)(
                self.db,
                self.tx,
                name.as_ptr(),
                name.len(),
                owner.as_ptr(),
                owner.len(),
                ttl_s,
                error,
            )
        })
    }

    /// Prolongs a lock.
    pub fn lock_renew(self, name: &str, owner: &str, ttl_s: i64) -> Answer<()> {
        // SAFETY: see above.
        call(|error| unsafe {
            (functions().honker_lock_renew)(
                self.db,
                self.tx,
                name.as_ptr(),
                name.len(),
                owner.as_ptr(),
                owner.len(),
                ttl_s,
                error,
            )
        })
    }

    /// Gives a lock up.
    pub fn lock_release(self, name: &str, owner: &str) -> Answer<()> {
        // SAFETY: see above.
        call(|error| unsafe {
            (functions().honker_lock_release)(
                self.db,
                self.tx,
                name.as_ptr(),
                name.len(),
                owner.as_ptr(),
                owner.len(),
                error,
            )
        })
    }

    /// Counts one use.
    pub fn rate_limit_try(self, name: &str, limit: i64, per_s: i64) -> Answer<()> {
        // SAFETY: see above.
        call(|error| unsafe {
            (functions().honker_rate_limit_try)(
                self.db,
                self.tx,
                name.as_ptr(),
                name.len(),
                limit,
                per_s,
                error,
            )
        })
    }

    /// Deletes old counts; how many.
    pub fn rate_limit_sweep(self, older_than_s: i64) -> Answer<i64> {
        let mut answer = 0;
        // SAFETY: see above.
        call(|error| unsafe {
            (functions().honker_rate_limit_sweep)(self.db, self.tx, older_than_s, &mut answer, error)
        })?;
        Ok(answer)
    }
}
