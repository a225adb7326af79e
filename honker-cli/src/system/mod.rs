//! What each operating system does in its own way: what asks a program to end, who may use a file, whether two paths are one
//! file, how many descriptors there are, and what the machine is called. Windows has no `honker run`: a program's end there
//! is neither asked for by a signal nor tied to that of its worker.

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

#[cfg(unix)]
pub use unix::*;
#[cfg(windows)]
pub use windows::*;
