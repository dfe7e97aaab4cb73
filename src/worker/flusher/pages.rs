//! Lists of what is to be read, cut into what one round trip may bring.

/// Runs as long as `length` says of what is left; one item at least.
pub fn pages<T>(items: &[T], length: impl Fn(&[T]) -> usize) -> Vec<&[T]> {
    let (mut pages, mut rest) = (Vec::new(), items);
    while !rest.is_empty() {
        let (page, behind) = rest.split_at(length(rest).max(1));
        pages.push(page);
        rest = behind;
    }
    pages
}
