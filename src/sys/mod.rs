//! The kernel: all `unsafe`, all `libc`, behind small safe types.
//!
//! A wrapper does one system call, says why that call is sound, and returns a type that
//! cannot be misused. Policy stays out.
#![allow(unsafe_code)]

pub mod lock;
pub mod poll;
pub mod process;
pub mod random;
pub mod shm;
pub mod signal;
pub mod time;
