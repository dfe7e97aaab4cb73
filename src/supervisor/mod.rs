//! Story 2: the loop that keeps the workers alive.
#![forbid(unsafe_code)]
