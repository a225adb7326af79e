//! What is set for a queue, to the second: pauses, limits, defaults, what is kept and for how long.

mod keys;
mod limits;
mod maintenance;
mod random;
mod retention;
mod settings;
mod support;
