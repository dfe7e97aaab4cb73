//! Where a string may end: the quotes, backslashes and control characters of a text.
//!
//! Found for 64 bytes at a time and kept as bits, because strings in spans are short: most of them
//! end in the same 64 bytes as the one before.

const BLOCK: usize = 64;

/// The special bytes of a text; looked for in any order, quickest forwards.
pub struct Specials<'m> {
    bytes: &'m [u8],
    /// The block that `marks` is of.
    base: usize,
    marks: u64,
}

impl<'m> Specials<'m> {
    pub fn of(bytes: &'m [u8]) -> Specials<'m> {
        Specials { bytes, base: 0, marks: marks_at(bytes, 0) }
    }

    /// The first special byte at or behind `at`.
    #[inline]
    pub fn next(&mut self, at: usize) -> Option<usize> {
        self.turn_to(at - at % BLOCK);
        let left = self.marks >> (at % BLOCK);
        if left != 0 {
            return Some(at + left.trailing_zeros() as usize);
        }
        self.next_block()
    }

    fn next_block(&mut self) -> Option<usize> {
        while self.base + BLOCK < self.bytes.len() {
            self.turn_to(self.base + BLOCK);
            if self.marks != 0 {
                return Some(self.base + self.marks.trailing_zeros() as usize);
            }
        }
        None
    }

    #[inline]
    fn turn_to(&mut self, base: usize) {
        if base != self.base {
            self.base = base;
            self.marks = marks_at(self.bytes, base);
        }
    }
}

/// A bit for each byte of the block at `base`; what is behind the end is not special.
fn marks_at(bytes: &[u8], base: usize) -> u64 {
    let rest = bytes.get(base..).unwrap_or_default();
    if let Some(block) = rest.first_chunk() {
        return marks(block);
    }
    let mut block = [b' '; BLOCK];
    block[..rest.len()].copy_from_slice(rest);
    marks(&block)
}

/// Written so that the compiler makes vector instructions of it.
fn marks(block: &[u8; BLOCK]) -> u64 {
    let is_special = |byte: u8| byte == b'"' || byte == b'\\' || byte < 0x20;
    let flags = block.map(|byte| u8::from(is_special(byte)));
    let (eights, _) = flags.as_chunks::<8>();
    eights.iter().rev().fold(0, |marks, eight| {
        // The multiplication brings the lowest bit of each byte into the highest byte, in order.
        marks << 8 | u64::from_le_bytes(*eight).wrapping_mul(0x0102_0408_1020_4080) >> 56
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_special_byte_is_found_wherever_it_stands() {
        for len in [0, 1, 63, 64, 65, 128, 200] {
            for special in [b'"', b'\\', 0, 0x1f, b'\n'] {
                for place in 0..len {
                    let mut bytes = vec![b'a'; len];
                    bytes[place] = special;
                    let mut specials = Specials::of(&bytes);
                    for at in 0..=len {
                        let expected = (at <= place).then_some(place);
                        assert_eq!(specials.next(at), expected, "{special} at {place} of {len}");
                    }
                }
            }
        }
    }

    #[test]
    fn exactly_the_special_bytes_are_special() {
        let bytes: Vec<u8> = (0..=255).collect();
        let mut specials = Specials::of(&bytes);
        let found: Vec<usize> = (0..256).filter(|&at| specials.next(at) == Some(at)).collect();
        let expected: Vec<usize> = (0..0x20).chain([0x22, 0x5c]).collect();
        assert_eq!(found, expected);
    }
}
