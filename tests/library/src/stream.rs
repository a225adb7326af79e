//! Streams and notifications.

use std::ptr;

use crate::raw::{self, Bytes, EventView};
use crate::{Answer, Owned, Place, borrowed, call, functions, owned, size_of};

/// One event of a stream.
#[derive(Debug, Clone)]
pub struct Event {
    /// Its place in the stream.
    pub offset: i64,
    /// The topic.
    pub topic: String,
    /// The publisher's key.
    pub key: Option<String>,
    /// As it was published.
    pub payload: String,
}

// SAFETY, here and below: pointers and lengths are those of Rust texts and slices that outlive the call, outputs are
// places on the stack, and handles are checked by the library.
impl Place {
    /// Adds a notification; its id.
    pub fn notify(self, channel: &str, payload: &str) -> Answer<i64> {
        let mut answer = 0;
        // SAFETY: see above.
        call(|error| unsafe {
            (functions().honker_notify)(
                self.db,
                self.tx,
                channel.as_ptr(),
                channel.len(),
                payload.as_ptr(),
                payload.len(),
                &mut answer,
                error,
            )
        })?;
        Ok(answer)
    }

    /// Deletes old notifications; how many.
    pub fn notifications_prune(self, older_than_s: i64, max_keep: i64) -> Answer<i64> {
        let mut answer = 0;
        // SAFETY: see above.
        call(|error| unsafe {
            (functions().honker_notifications_prune)(
                self.db,
                self.tx,
                older_than_s,
                max_keep,
                &mut answer,
                error,
            )
        })?;
        Ok(answer)
    }

    /// Appends an event; its offset.
    pub fn publish(self, topic: &str, key: Option<&str>, payload: &str) -> Answer<i64> {
        let key = key.map_or(raw::Bytes { data: ptr::null(), len: 0 }, borrowed);
        let mut answer = 0;
        // SAFETY: see above.
        call(|error| unsafe {
            (functions().honker_stream_publish)(
                self.db,
                self.tx,
                topic.as_ptr(),
                topic.len(),
                key.data,
                key.len,
                payload.as_ptr(),
                payload.len(),
                &mut answer,
                error,
            )
        })?;
        Ok(answer)
    }

    /// Records that a consumer has come so far.
    pub fn save_offset(self, consumer: &str, topic: &str, offset: i64) -> Answer<()> {
        // SAFETY: see above.
        call(|error| unsafe {
            (functions().honker_stream_save_offset)(
                self.db,
                self.tx,
                consumer.as_ptr(),
                consumer.len(),
                topic.as_ptr(),
                topic.len(),
                offset,
                error,
            )
        })
    }

    /// How far a consumer has come.
    pub fn get_offset(self, consumer: &str, topic: &str) -> Answer<i64> {
        let mut answer = 0;
        // SAFETY: see above.
        call(|error| unsafe {
            (functions().honker_stream_get_offset)(
                self.db,
                self.tx,
                consumer.as_ptr(),
                consumer.len(),
                topic.as_ptr(),
                topic.len(),
                &mut answer,
                error,
            )
        })?;
        Ok(answer)
    }

    /// The events after `offset`.
    pub fn read_since(self, topic: &str, offset: i64, limit: i64) -> Answer<Vec<Event>> {
        let mut events = ptr::null_mut();
        // SAFETY: see above.
        call(|error| unsafe {
            (functions().honker_stream_read_since)(
                self.db,
                self.tx,
                topic.as_ptr(),
                topic.len(),
                offset,
                limit,
                &mut events,
                error,
            )
        })?;
        let events = Owned::new(events, functions().honker_events_free);
        let mut len = 0;
        // SAFETY: see above.
        call(|error| unsafe { (functions().honker_events_len)(events.handle, &mut len, error) })?;
        (0..len)
            .map(|index| {
                let none = Bytes { data: ptr::null(), len: 0 };
                let mut view = EventView {
                    struct_size: size_of::<EventView>(),
                    reserved: 0,
                    offset: 0,
                    topic: none,
                    key: none,
                    payload: none,
                    created_at: 0,
                };
                // SAFETY: see above; the struct says its size.
                call(|error| unsafe {
                    (functions().honker_events_get)(events.handle, index, &mut view, error)
                })?;
                Ok(Event {
                    offset: view.offset,
                    topic: owned(view.topic).unwrap_or_default(),
                    key: owned(view.key),
                    payload: owned(view.payload).unwrap_or_default(),
                })
            })
            .collect()
    }
}
