//! A snapshot of the board for people and programs.
