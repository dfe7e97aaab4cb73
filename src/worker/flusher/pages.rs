//! Lists of what is to be read, cut into what one round trip may bring.

/// Runs of at most `most` items whose bytes are together at most `most_bytes`; one item at least.
pub fn pages<T>(
    items: &[T],
    most: usize,
    most_bytes: u64,
    mut bytes_of: impl FnMut(&T) -> u64,
) -> Vec<&[T]> {
    let (mut pages, mut rest) = (Vec::new(), items);
    while !rest.is_empty() {
        let mut bytes = 0;
        let fits = |one: &&T| {
            bytes += bytes_of(one);
            bytes <= most_bytes
        };
        let count = rest.iter().take(most).take_while(fits).count().max(1);
        let (page, behind) = rest.split_at(count);
        pages.push(page);
        rest = behind;
    }
    pages
}
