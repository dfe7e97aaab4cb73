//! Headers of batches on their way from the store: read in pages of bounded size.

use super::pages::pages;
use crate::segment::batch::{self, Header};
use crate::store::Listed;

/// Headers read in one round trip, at most: their number, and their bytes (one at least).
const HEADERS_PER_PAGE: usize = 256;
const HEADER_BYTES_PER_PAGE: u64 = 8 << 20;

/// These batches in runs whose headers are read in one round trip.
pub fn header_pages(listed: &[Listed]) -> Vec<&[Listed]> {
    pages(listed, page_length)
}

fn page_length(listed: &[Listed]) -> usize {
    let mut bytes = 0;
    let fits = |one: &&Listed| {
        bytes += u64::from(one.header_bytes);
        bytes <= HEADER_BYTES_PER_PAGE
    };
    listed.iter().take(HEADERS_PER_PAGE).take_while(fits).count()
}

pub fn read_header(bytes: Option<&[u8]>) -> Option<Header> {
    match batch::parse_header(bytes?) {
        Ok(header) => Some(header),
        Err(damage) => {
            log::error!("a batch's header cannot be read: {}", damage.what);
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::segment::{BatchId, Offset};

    #[test]
    fn header_pages_are_bounded_and_leave_nothing_out() {
        let one = |header_bytes: u64| Listed {
            id: BatchId(0),
            header_bytes: header_bytes as u32,
            first: Offset(0),
        };
        let most = HEADER_BYTES_PER_PAGE;
        let listed = [most / 2, most / 2, 1, most * 2, most].map(one);
        let counts = |listed: &[Listed]| header_pages(listed).into_iter().map(<[_]>::len).collect();
        assert_eq!(counts(&listed), [2, 1, 1, 1]);
        let small = vec![one(1); HEADERS_PER_PAGE + 1];
        assert_eq!(counts(&small), [HEADERS_PER_PAGE, 1]);
        let none: Vec<usize> = counts(&[]);
        assert!(none.is_empty());
    }
}
