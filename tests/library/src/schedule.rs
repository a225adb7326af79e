//! Schedules.

use std::ptr;

use crate::raw::{self, Bytes, FireView, ScheduleOptions, ScheduleUpdate};
use crate::{Answer, Owned, Place, call, functions, owned, size_of, take_text};

/// A boundary that was fired.
#[derive(Debug, Clone)]
pub struct Fire {
    /// The schedule.
    pub name: String,
    /// The boundary.
    pub fire_at: i64,
    /// The job.
    pub job_id: i64,
}

// SAFETY, here and below: pointers and lengths are those of Rust texts and slices that outlive the call, outputs are
// places on the stack, and handles are checked by the library.
impl Place {
    /// Removes a schedule.
    pub fn scheduler_unregister(self, name: &str) -> Answer<()> {
        // SAFETY: see above.
        call(|error| unsafe {
            (functions().honker_scheduler_unregister)(self.db, self.tx, name.as_ptr(), name.len(), error)
        })
    }

    /// Pauses a schedule.
    pub fn scheduler_pause(self, name: &str) -> Answer<()> {
        // SAFETY: see above.
        call(|error| unsafe {
            (functions().honker_scheduler_pause)(self.db, self.tx, name.as_ptr(), name.len(), error)
        })
    }

    /// Resumes a schedule.
    pub fn scheduler_resume(self, name: &str) -> Answer<()> {
        // SAFETY: see above.
        call(|error| unsafe {
            (functions().honker_scheduler_resume)(self.db, self.tx, name.as_ptr(), name.len(), error)
        })
    }

    /// The next boundary of any.
    pub fn scheduler_soonest(self) -> Answer<i64> {
        let mut answer = 0;
        // SAFETY: see above.
        call(|error| unsafe {
            (functions().honker_scheduler_soonest)(self.db, self.tx, &mut answer, error)
        })?;
        Ok(answer)
    }

    /// All schedules, as JSON.
    pub fn scheduler_list(self) -> Answer<String> {
        // SAFETY: see above.
        take_text(|text, error| unsafe { (functions().honker_scheduler_list)(self.db, self.tx, text, error) })
    }

    /// Adds or replaces a schedule.
    pub fn scheduler_register(
        self,
        name: &str,
        queue: &str,
        expression: &str,
        payload: &str,
        max_attempts: i64,
    ) -> Answer<()> {
        let options = ScheduleOptions {
            struct_size: size_of::<ScheduleOptions>(),
            reserved: 0,
            priority: 0,
            expires_s: raw::NO_TIME,
            max_attempts,
            job: ptr::null(),
            overlap: 0,
            reserved_2: 0,
        };
        // SAFETY: see above.
        call(|error| unsafe {
            (functions().honker_scheduler_register)(
                self.db,
                self.tx,
                name.as_ptr(),
                name.len(),
                queue.as_ptr(),
                queue.len(),
                expression.as_ptr(),
                expression.len(),
                payload.as_ptr(),
                payload.len(),
                &options,
                error,
            )
        })
    }

    /// Changes the priority of a schedule.
    pub fn scheduler_update(self, name: &str, priority: i64) -> Answer<()> {
        let none = Bytes { data: ptr::null(), len: 0 };
        let update = ScheduleUpdate {
            struct_size: size_of::<ScheduleUpdate>(),
            reserved: 0,
            fields: raw::UPDATE_PRIORITY,
            expression: none,
            payload: none,
            priority,
            expires_s: raw::NO_TIME,
            max_attempts: raw::NO_TIME,
        };
        // SAFETY: see above.
        call(|error| unsafe {
            (functions().honker_scheduler_update)(self.db, self.tx, name.as_ptr(), name.len(), &update, error)
        })
    }

    /// Fires what is due.
    pub fn scheduler_tick(self, until: i64) -> Answer<Vec<Fire>> {
        let mut fires = ptr::null_mut();
        // SAFETY: see above.
        call(|error| unsafe {
            (functions().honker_scheduler_tick)(self.db, self.tx, until, &mut fires, error)
        })?;
        fires_of(fires)
    }
}

/// What was fired, freed.
pub(crate) fn fires_of(fires: *mut raw::Fires) -> Answer<Vec<Fire>> {
    let fires = Owned::new(fires, functions().honker_fires_free);
    let mut len = 0;
    // SAFETY: a handle of the library's; places for what it answers.
    call(|error| unsafe { (functions().honker_fires_len)(fires.handle, &mut len, error) })?;
    (0..len)
        .map(|index| {
            let none = Bytes { data: ptr::null(), len: 0 };
            let mut view = FireView {
                struct_size: size_of::<FireView>(),
                reserved: 0,
                name: none,
                queue: none,
                fire_at: 0,
                job_id: 0,
                status: 0,
                reserved_2: 0,
            };
            // SAFETY: see above; the struct says its size.
            call(|error| unsafe { (functions().honker_fires_get)(fires.handle, index, &mut view, error) })?;
            Ok(Fire {
                name: owned(view.name).unwrap_or_default(),
                fire_at: view.fire_at,
                job_id: view.job_id,
            })
        })
        .collect()
}
