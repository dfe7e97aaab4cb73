//! The store in Redis: the one file that names the redis crate.
//!
//! Every call sends all its commands, then reads all replies against one deadline (the crate's
//! own pipeline waits its time-out once per reply). A time-out drops the connection, because
//! what comes next on it would be the answer to something else.
