//! The way out: all that a command prints goes through here.
//!
//! A reader that has gone (`spanbufd generate | head`) is no error and no panic: the rest is
//! swallowed, and [`Out::is_closed`] tells a long command that it may stop. Any other failure
//! to write (a full disk) is an error. Messages to people go to standard error in one
//! write(2), and nothing is done when that fails, since there is nobody left to tell.

use crate::error::{Error, Result};
use std::fs::File;
use std::io::{self, BufWriter, ErrorKind, Write};
use std::os::fd::AsFd;

const BUFFER_BYTES: usize = 64 << 10;

/// Buffered output. Call [`Out::flush`] at the end: what it still holds is lost otherwise.
pub struct Out {
    inner: BufWriter<Box<dyn Write>>,
    closed: bool,
}

impl Out {
    /// Standard output, through a descriptor of our own: std's writes line by line.
    pub fn stdout() -> Result<Out> {
        let descriptor = io::stdout().as_fd().try_clone_to_owned();
        let descriptor = descriptor
            .map_err(|why| Error::temporary(format!("cannot use standard output: {why}")))?;
        Ok(Out::over(Box::new(File::from(descriptor))))
    }

    fn over(target: Box<dyn Write>) -> Out {
        Out { inner: BufWriter::with_capacity(BUFFER_BYTES, target), closed: false }
    }

    /// Writes the text and a line's end.
    pub fn line(&mut self, text: impl std::fmt::Display) -> Result<()> {
        let written = writeln!(self.inner, "{text}");
        self.judge(written)
    }

    /// Writes the bytes as they are.
    pub fn bytes(&mut self, bytes: &[u8]) -> Result<()> {
        let written = self.inner.write_all(bytes);
        self.judge(written)
    }

    pub fn flush(&mut self) -> Result<()> {
        let written = self.inner.flush();
        self.judge(written)
    }

    /// The reader has gone: whatever is written from now on is read by nobody.
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    fn judge(&mut self, written: io::Result<()>) -> Result<()> {
        match written {
            Err(why) if why.kind() == ErrorKind::BrokenPipe => {
                self.closed = true;
                // From here on there is nobody to write to.
                self.inner = BufWriter::new(Box::new(io::sink()));
                Ok(())
            }
            Err(why) => Err(Error::temporary(format!("cannot write standard output: {why}"))),
            Ok(()) => Ok(()),
        }
    }
}

/// Tells the user what went wrong: `spanbufd: MESSAGE`, and a hint when it is a usage error.
pub fn complain(error: &Error, command: &str) {
    let mut text = format!("spanbufd: {error}\n");
    if error.kind() == crate::error::Kind::Usage {
        let command = if command.is_empty() { String::new() } else { format!("{command} ") };
        text.push_str(&format!("Try 'spanbufd {command}--help'.\n"));
    }
    let _ = io::stderr().write(text.as_bytes());
}

/// Tells the user what is not wrong but should not stay: `spanbufd: warning: MESSAGE`.
pub fn warn(message: &str) {
    let _ = io::stderr().write(format!("spanbufd: warning: {message}\n").as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Failing(ErrorKind);

    impl Write for Failing {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_gone_reader_is_no_error() {
        let mut out = Out::over(Box::new(Failing(ErrorKind::BrokenPipe)));
        assert!(out.line("one").is_ok() && !out.is_closed(), "still buffered");
        assert!(out.flush().is_ok() && out.is_closed());
        assert!(out.bytes(&vec![b'x'; 2 * BUFFER_BYTES]).is_ok());
        assert!(out.flush().is_ok());
    }

    #[test]
    fn a_full_disk_is_one() {
        let mut out = Out::over(Box::new(Failing(ErrorKind::StorageFull)));
        assert!(out.line("one").is_ok());
        assert!(out.flush().is_err() && !out.is_closed());
    }
}
