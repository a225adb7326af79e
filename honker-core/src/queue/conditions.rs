//! The conditions that divide `_honker_live` among its partial indexes (docs/decisions/0002-claims.md).
//!
//! They are texts, and here, because SQLite uses a partial index only for a statement that repeats its condition word
//! for word: [`crate::schema`] makes the indexes of them, the statements of this module ask for them.
//!
//! A well-formed pending row is in exactly one of `immediate`, `delayed` and `exhausted`; a processing one in one of
//! `in_flight` and `last_attempt`. A row in a state of which this version knows nothing is in none of them.

/// Due from the moment it was enqueued, unless the clock was set back.
macro_rules! immediate {
    () => {
        "state = 'pending' AND attempts < max_attempts AND run_at <= created_at"
    };
}

/// Due later than it was enqueued: delayed, or retried.
macro_rules! delayed {
    () => {
        "state = 'pending' AND attempts < max_attempts AND run_at > created_at"
    };
}

/// Waiting although its attempts are used up. Empty unless somebody enqueued a job without a budget or lowered one.
macro_rules! exhausted {
    () => {
        "state = 'pending' AND attempts >= max_attempts"
    };
}

/// Claimed, with attempts left: somebody else's as soon as the claim lapses.
macro_rules! in_flight {
    () => {
        "state = 'processing' AND attempts < max_attempts"
    };
}

/// Claimed for the last time: dead as soon as the claim lapses.
macro_rules! last_attempt {
    () => {
        "state = 'processing' AND attempts >= max_attempts"
    };
}

/// Waiting, with an expiry.
macro_rules! expiring {
    () => {
        "state = 'pending' AND expires_at IS NOT NULL"
    };
}

/// A column of numbers that holds text or a blob, or a payload that is no text. SQLite orders texts and blobs behind all
/// numbers.
macro_rules! unreadable {
    () => {
        "(priority >= '' OR run_at >= '' OR attempts >= '' OR max_attempts >= '' OR created_at >= ''
          OR expires_at >= '' OR claim_expires_at >= '' OR typeof(payload) <> 'text')"
    };
}

/// A number column that holds a REAL, text or a blob, or a payload that is no text. NULLs are no concern of it.
macro_rules! ill_typed {
    () => {
        "(priority <> CAST(priority AS INTEGER) OR run_at <> CAST(run_at AS INTEGER)
          OR attempts <> CAST(attempts AS INTEGER) OR max_attempts <> CAST(max_attempts AS INTEGER)
          OR created_at <> CAST(created_at AS INTEGER) OR expires_at <> CAST(expires_at AS INTEGER)
          OR typeof(payload) <> 'text')"
    };
}

/// What no claim can read before something is done about it; only SQL of somebody's own can have stored it. A claimed
/// row is left to its holder, unless nothing would ever end the claim.
macro_rules! malformed {
    () => {
        concat!(
            "(state = 'pending' AND ",
            $crate::queue::conditions::ill_typed!(),
            " OR state = 'processing' AND claim_expires_at >= '')"
        )
    };
}

pub(crate) use {
    delayed, exhausted, expiring, ill_typed, immediate, in_flight, last_attempt, malformed, unreadable,
};
