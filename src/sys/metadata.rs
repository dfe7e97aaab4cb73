//! Commit metadata as the bytes that they are.
//!
//! Any tool may have written them. The client's own accessor ends the process when they are not
//! UTF-8, and offers no other way to them; so the client is named outside of `kafka`.

use rdkafka::topic_partition_list::TopicPartitionList;
use std::slice;

/// The partition and the metadata of each element, in the list's order.
pub fn of(list: &TopicPartitionList) -> Vec<(i32, Vec<u8>)> {
    if list.count() == 0 {
        return Vec::new();
    }
    // SAFETY: the pointer is that of a live list, which the borrow keeps, and nobody writes to it.
    let native = unsafe { &*list.ptr() };
    // SAFETY: the library keeps `cnt` elements, here more than none, in the array at `elems`.
    let elems = unsafe { slice::from_raw_parts(native.elems, native.cnt as usize) };
    elems
        .iter()
        .map(|elem| {
            if elem.metadata.is_null() || elem.metadata_size == 0 {
                return (elem.partition, Vec::new());
            }
            let start = elem.metadata.cast::<u8>().cast_const();
            // SAFETY: the library keeps `metadata_size` bytes there for as long as the list lives.
            let bytes = unsafe { slice::from_raw_parts(start, elem.metadata_size) };
            (elem.partition, bytes.to_vec())
        })
        .collect()
}
