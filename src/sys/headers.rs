//! Message headers as the bytes that they are.
//!
//! A name may be any bytes, and whoever writes to the input topic chooses them. The client's own
//! accessor ends the process when a name is not UTF-8, and shows of it what stands before its first
//! NUL.

use super::commit::checked;
use rdkafka::bindings::{rd_kafka_header_add, rd_kafka_header_get_all, rd_kafka_headers_t};
use rdkafka::message::{BorrowedHeaders, Headers, OwnedHeaders};
use std::ffi::{c_char, c_void};
use std::{ptr, slice};

/// What the library keeps before a header's name (`rdkafka_header.h`). No function of it tells how
/// long a name is.
#[repr(C)]
struct Head {
    serialized_bytes: usize,
    value_bytes: usize,
    name_bytes: usize,
    value: *const c_char,
}

/// The name and the value of a header.
pub type Header<'h> = (&'h [u8], Option<&'h [u8]>);

/// The names and values of a message's headers, in their order.
pub fn read(headers: &BorrowedHeaders) -> Vec<Header<'_>> {
    (0..headers.count()).filter_map(|at| header(headers, at)).collect()
}

fn header(headers: &BorrowedHeaders, at: usize) -> Option<Header<'_>> {
    let (mut name, mut value, mut value_bytes) = (ptr::null(), ptr::null(), 0);
    // SAFETY: the list lives as long as the borrow; the answers are two pointers into it.
    let outcome = unsafe {
        rd_kafka_header_get_all(native(headers), at, &mut name, &mut value, &mut value_bytes)
    };
    checked(outcome).ok()?;
    // SAFETY: a name stands behind its head in one allocation. So says the source of the library
    // that is built in; the test below fails with one of which that is not true.
    let head = unsafe { name.cast::<Head>().wrapping_sub(1).read() };
    // SAFETY: the library keeps so many bytes there for as long as the list lives.
    let name = unsafe { slice::from_raw_parts(name.cast::<u8>(), head.name_bytes) };
    let value = (!value.is_null()).then(|| {
        // SAFETY: the same, for the value.
        unsafe { slice::from_raw_parts(value.cast::<u8>(), value_bytes) }
    });
    Some((name, value))
}

/// Headers to send.
pub fn make(headers: &[Header<'_>]) -> OwnedHeaders {
    let made = OwnedHeaders::new_with_capacity(headers.len());
    for (name, value) in headers {
        let (value, value_bytes) =
            value.map_or((ptr::null(), 0), |value| (value.as_ptr().cast::<c_void>(), value.len()));
        let name_at = name.as_ptr().cast::<c_char>();
        // SAFETY: the list is ours, and nobody reads it yet. The library copies both texts. It
        // refuses none: the only list that takes no more is one that was received.
        unsafe {
            rd_kafka_header_add(
                native(made.as_borrowed()),
                name_at,
                name.len() as isize,
                value,
                value_bytes as isize,
            )
        };
    }
    made
}

/// The client's reference to headers is the library's pointer under another type.
fn native(headers: &BorrowedHeaders) -> *mut rd_kafka_headers_t {
    ptr::from_ref(headers).cast_mut().cast()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_any_bytes() {
        let headers: [Header<'_>; 6] = [
            (b"plain", Some(b"value")),
            (b"\xff\xfe", Some(b"")),
            (b"with\0NUL", Some(b"\0")),
            (b"\0", None),
            (b"", None),
            (b"", Some(b"\xff")),
        ];
        let made = make(&headers);
        assert_eq!(read(made.as_borrowed()), headers);
    }
}
