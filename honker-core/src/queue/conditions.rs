//! The conditions that divide `_honker_live` among its partial indexes (docs/decisions/0002-claims.md).
//!
//! They are texts, and here, because SQLite uses a partial index only for a statement that repeats its condition word
//! for word, and a column that is an expression only for the same expression: [`crate::schema`] makes the indexes of
//! them, the statements of this module ask for them.
//!
//! Every statement that writes a job opens every index of the table and works out its condition, also for a plain job
//! that is not in it, at some 1,100 instructions each. That is why there are few, and why several conditions share one.
//!
//! A well-formed pending row is in exactly one of `immediate`, `delayed` and `exhausted`; a processing one in one of
//! `in_flight` and `last_attempt`. A row in a state of which this version knows nothing is in none of them.

/// Waiting, with attempts left.
macro_rules! claimable {
    () => {
        "state = 'pending' AND attempts < max_attempts"
    };
}

/// Due from the moment it was enqueued, unless the clock was set back.
macro_rules! immediate {
    () => {
        concat!($crate::queue::conditions::claimable!(), " AND (run_at > created_at) = 0")
    };
}

/// Due later than it was enqueued: delayed, or retried. In the order of run times.
macro_rules! delayed {
    () => {
        concat!($crate::queue::conditions::claimable!(), " AND run_at > created_at")
    };
}

/// The same rows in claim order.
macro_rules! delayed_by_priority {
    () => {
        concat!($crate::queue::conditions::claimable!(), " AND (run_at > created_at) = 1")
    };
}

/// Claimed, with attempts left: somebody else's as soon as the claim lapses.
macro_rules! in_flight {
    () => {
        "state = 'processing' AND (attempts >= max_attempts) = 0"
    };
}

/// Claimed for the last time: dead as soon as the claim lapses.
macro_rules! last_attempt {
    () => {
        "state = 'processing' AND (attempts >= max_attempts) = 1"
    };
}

/// Of each claim of queue ?1 that is valid at ?2, this column or value: by way of the index, which wants the queue first and
/// one value of the last attempt after the other.
macro_rules! valid_claims {
    ($value:literal) => {
        concat!(
            "SELECT ",
            $value,
            " FROM main._honker_live WHERE state = 'processing' AND queue = +?1
       AND (attempts >= max_attempts) = 0 AND claim_expires_at >= +?2 AND claim_expires_at < ''
     UNION ALL
     SELECT ",
            $value,
            " FROM main._honker_live WHERE state = 'processing' AND queue = +?1
       AND (attempts >= max_attempts) = 1 AND claim_expires_at >= +?2 AND claim_expires_at < ''"
        )
    };
}

/// A column of numbers that holds text or a blob, or a payload that is no text. SQLite orders texts and blobs behind all
/// numbers.
macro_rules! unreadable {
    () => {
        "(priority >= '' OR run_at >= '' OR attempts >= '' OR max_attempts >= '' OR created_at >= ''
          OR expires_at >= '' OR claim_expires_at >= '' OR payload >= x'')"
    };
}

/// A number column that holds a REAL, text or a blob, or a payload that is no text. `| 0` makes an integer of anything,
/// and is cheaper than a CAST. NULLs are no concern of it.
macro_rules! ill_typed {
    () => {
        "(priority <> (priority | 0) OR run_at <> (run_at | 0) OR attempts <> (attempts | 0)
          OR max_attempts <> (max_attempts | 0) OR created_at <> (created_at | 0)
          OR expires_at <> (expires_at | 0) OR payload >= x'')"
    };
}

/// All that is not plain: rows that no claim can read, those whose attempts are used up, and those that expire.
macro_rules! exceptional {
    () => {
        concat!(
            "(state = 'pending' AND (expires_at IS NOT NULL OR attempts >= max_attempts OR ",
            $crate::queue::conditions::ill_typed!(),
            ") OR state = 'processing' AND claim_expires_at >= '')"
        )
    };
}

/// Which exception a row is: 0 malformed, 1 exhausted, 2 expiring.
macro_rules! exception {
    () => {
        concat!(
            "CASE WHEN state = 'processing' OR ",
            $crate::queue::conditions::ill_typed!(),
            " THEN 0 WHEN attempts >= max_attempts THEN 1 ELSE 2 END"
        )
    };
}

/// From when on it matters: from the expiry on, and if the row is exhausted, from when it is due, whichever is first.
macro_rules! exception_at {
    () => {
        "CASE WHEN attempts >= max_attempts THEN min(run_at, ifnull(expires_at, run_at)) ELSE expires_at END"
    };
}

/// What no claim can read before something is done about it; only SQL of somebody's own can have stored it. A claimed
/// row is left to its holder, unless nothing would ever end the claim. (`< 1` rather than `= 0`: should statistics say that
/// all exceptions are alike, SQLite would rather walk the table than look for equal ones.)
macro_rules! malformed {
    () => {
        concat!(
            $crate::queue::conditions::exceptional!(),
            " AND ",
            $crate::queue::conditions::exception!(),
            " < 1"
        )
    };
}

/// Waiting although its attempts are used up. Empty unless somebody enqueued a job without a budget or lowered one. A
/// claim moves these once they are due ([`exception_at`]).
macro_rules! exhausted {
    () => {
        concat!(
            $crate::queue::conditions::exceptional!(),
            " AND ",
            $crate::queue::conditions::exception!(),
            " = 1"
        )
    };
}

/// Waiting, with attempts left and an expiry ([`exception_at`]).
macro_rules! expiring {
    () => {
        concat!(
            $crate::queue::conditions::exceptional!(),
            " AND ",
            $crate::queue::conditions::exception!(),
            " = 2"
        )
    };
}

pub(crate) use {
    claimable, delayed, delayed_by_priority, exception, exception_at, exceptional, exhausted, expiring,
    ill_typed, immediate, in_flight, last_attempt, malformed, unreadable, valid_claims,
};
