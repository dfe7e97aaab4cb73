//! The store in a map: for properties, models and `assemble`.
//!
//! Keeps the contract of `store/mod.rs` exactly, and can be told to lose replies.
