//! The Kafka client's list of its own properties, which it only writes to a C stream.

use rdkafka::bindings::rd_kafka_conf_properties_show;
use std::ptr;

/// A table in Markdown, a property a row.
pub fn list() -> String {
    let (mut text, mut length) = (ptr::null_mut(), 0);
    // SAFETY: both places live until the stream is closed, which is the last to write to them.
    let stream = unsafe { libc::open_memstream(&mut text, &mut length) };
    assert!(!stream.is_null());
    // SAFETY: the stream is open.
    unsafe { rd_kafka_conf_properties_show(stream.cast()) };
    // SAFETY: it is closed once, and not used any more.
    unsafe { libc::fclose(stream) };
    // SAFETY: closed, the stream has left that many bytes there, which are ours; they are not
    // given back, because this is called once in a test.
    let bytes = unsafe { std::slice::from_raw_parts(text.cast::<u8>(), length) };
    String::from_utf8_lossy(bytes).into_owned()
}
