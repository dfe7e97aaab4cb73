//! The smallest pieces of the stored format: varints, texts, fixed integers.
//!
//! Reading is length-checked everywhere: whatever the bytes are, the answer is a value
//! or a [`Damage`]. Nothing here allocates by a length that it has only read.

use super::batch::Damage;

pub fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Signed values, small ones of either sign short.
pub fn put_signed(out: &mut Vec<u8>, value: i64) {
    put_varint(out, (value << 1 ^ value >> 63) as u64);
}

pub fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// An absent value is told from an empty one.
pub fn put_optional(out: &mut Vec<u8>, bytes: Option<&[u8]>) {
    match bytes {
        None => out.push(0),
        Some(bytes) => {
            out.push(1);
            put_bytes(out, bytes);
        }
    }
}

pub fn damage<T>(what: impl Into<String>) -> Result<T, Damage> {
    Err(Damage { what: what.into() })
}

/// Reads what the functions above wrote.
pub struct Reader<'b> {
    bytes: &'b [u8],
    at: usize,
}

impl<'b> Reader<'b> {
    pub fn new(bytes: &'b [u8]) -> Reader<'b> {
        Reader { bytes, at: 0 }
    }

    pub fn at(&self) -> usize {
        self.at
    }

    pub fn left(&self) -> usize {
        self.bytes.len() - self.at
    }

    pub fn take(&mut self, len: usize) -> Result<&'b [u8], Damage> {
        if len > self.left() {
            return damage(format!("{len} bytes wanted at {}, {} left", self.at, self.left()));
        }
        let taken = &self.bytes[self.at..self.at + len];
        self.at += len;
        Ok(taken)
    }

    pub fn byte(&mut self) -> Result<u8, Damage> {
        Ok(self.take(1)?[0])
    }

    #[inline]
    pub fn varint(&mut self) -> Result<u64, Damage> {
        match self.bytes.get(self.at) {
            Some(&byte) if byte < 0x80 => {
                self.at += 1;
                Ok(byte.into())
            }
            _ => self.long_varint(),
        }
    }

    fn long_varint(&mut self) -> Result<u64, Damage> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            if shift == 63 && byte > 1 {
                break;
            }
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        damage(format!("number too long at {}", self.at))
    }

    pub fn signed(&mut self) -> Result<i64, Damage> {
        let value = self.varint()?;
        Ok((value >> 1) as i64 ^ -((value & 1) as i64))
    }

    pub fn u32(&mut self) -> Result<u32, Damage> {
        let value = self.varint()?;
        u32::try_from(value).or_else(|_| damage(format!("{value} is over 32 bits")))
    }

    pub fn u64_raw(&mut self) -> Result<u64, Damage> {
        let mut raw = [0; 8];
        raw.copy_from_slice(self.take(8)?);
        Ok(u64::from_be_bytes(raw))
    }

    pub fn u128_raw(&mut self) -> Result<u128, Damage> {
        let mut raw = [0; 16];
        raw.copy_from_slice(self.take(16)?);
        Ok(u128::from_be_bytes(raw))
    }

    pub fn bytes(&mut self) -> Result<&'b [u8], Damage> {
        let len = self.u32()? as usize;
        self.take(len)
    }

    pub fn text(&mut self) -> Result<&'b str, Damage> {
        let bytes = self.bytes()?;
        std::str::from_utf8(bytes).or_else(|_| damage("a text is not UTF-8"))
    }

    pub fn optional(&mut self) -> Result<Option<&'b [u8]>, Damage> {
        match self.byte()? {
            0 => Ok(None),
            1 => Ok(Some(self.bytes()?)),
            other => damage(format!("presence byte {other}")),
        }
    }
}
