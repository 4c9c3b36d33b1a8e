//! Watching a dump on its way into pg_restore, which loops without end on one that is cut (measured on 18.6: custom
//! format and tar, from a pipe).

use bytes::{Buf, Bytes};
use holdpoint_archive::{Event, Limits, StreamParser};

use crate::{Error, ForeignForm};

/// Tells whether a dump that streams by is whole; memory: an archive's head.
///
/// Archives of versions that the parser does not know pass unwatched, as do other forms.
#[derive(Debug)]
pub struct ForeignWatch(Form);

enum Form {
    Custom { parser: Box<StreamParser>, past_head: bool },
    Tar(Tar),
    Unwatched,
}

impl std::fmt::Debug for Form {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Custom { .. } => "Custom",
            Self::Tar(_) => "Tar",
            Self::Unwatched => "Unwatched",
        })
    }
}

impl ForeignWatch {
    /// Begins to watch a dump of this form.
    pub fn new(form: ForeignForm) -> Self {
        Self(match form {
            ForeignForm::Custom => {
                Form::Custom { parser: Box::new(StreamParser::new(Limits::default())), past_head: false }
            }
            ForeignForm::Tar => Form::Tar(Tar::default()),
            ForeignForm::Directory | ForeignForm::Plain => Form::Unwatched,
        })
    }

    /// Looks at the next bytes; fails where they cannot be such a dump's.
    pub fn push(&mut self, bytes: Bytes) -> Result<(), Error> {
        match &mut self.0 {
            Form::Unwatched => Ok(()),
            Form::Tar(tar) => tar.push(bytes),
            Form::Custom { parser, past_head } => {
                parser.push(bytes);
                loop {
                    match parser.next_event() {
                        Ok(Some(event)) => *past_head |= matches!(event, Event::Head(_)),
                        Ok(None) => return Ok(()),
                        Err(error) if *past_head => return Err(error.into()),
                        Err(_) => {
                            self.0 = Form::Unwatched;
                            return Ok(());
                        }
                    }
                }
            }
        }
    }

    /// Fails unless the dump ended where one may end.
    pub fn finish(self) -> Result<(), Error> {
        match self.0 {
            Form::Custom { mut parser, .. } => Ok(parser.finish()?),
            Form::Tar(tar) if !tar.ended => Err(Error::Truncated("a tar archive")),
            Form::Tar(_) | Form::Unwatched => Ok(()),
        }
    }
}

const BLOCK: usize = 512;

/// Follows a tar archive from header to header (POSIX pax, "ustar Interchange Format"); one ends with blocks of zeros.
#[derive(Default)]
struct Tar {
    header: Vec<u8>,
    skip: u64,
    ended: bool,
}

impl Tar {
    fn push(&mut self, mut bytes: Bytes) -> Result<(), Error> {
        while !bytes.is_empty() && !self.ended {
            if self.skip > 0 {
                let now = usize::try_from(self.skip).unwrap_or(usize::MAX).min(bytes.len());
                bytes.advance(now);
                self.skip -= now as u64;
                continue;
            }
            let now = (BLOCK - self.header.len()).min(bytes.len());
            self.header.extend_from_slice(&bytes.split_to(now));
            if self.header.len() == BLOCK {
                self.header()?;
                self.header.clear();
            }
        }
        Ok(())
    }

    fn header(&mut self) -> Result<(), Error> {
        if self.header.iter().all(|byte| *byte == 0) {
            self.ended = true;
            return Ok(());
        }
        let size = size(&self.header[124..136]).ok_or(Error::Truncated("a tar header"))?;
        self.skip = size.next_multiple_of(BLOCK as u64);
        Ok(())
    }
}

/// A size field: octal digits, or base 256 for members above 8 GB.
fn size(field: &[u8]) -> Option<u64> {
    if field[0] & 0x80 != 0 {
        return field[4..].iter().try_fold(0_u64, |sum, byte| sum.checked_mul(256)?.checked_add(u64::from(*byte)));
    }
    let digits = std::str::from_utf8(field).ok()?.trim_matches(|c: char| c == '\0' || c == ' ');
    u64::from_str_radix(digits, 8).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(size: usize) -> Vec<u8> {
        let mut header = vec![0; BLOCK];
        header[0] = b'x';
        header[124..136].copy_from_slice(format!("{size:011o}\0").as_bytes());
        header.resize(BLOCK + size.next_multiple_of(BLOCK), b'd');
        header
    }

    fn watched(bytes: &[u8], portion: usize) -> Result<(), Error> {
        let mut watch = ForeignWatch::new(ForeignForm::Tar);
        for part in bytes.chunks(portion) {
            watch.push(Bytes::copy_from_slice(part))?;
        }
        watch.finish()
    }

    #[test]
    fn a_tar_is_whole_only_with_its_end() {
        let whole = [member(1000), member(0), member(512), vec![0; 2 * BLOCK]].concat();
        for portion in [1, 100, 512, 5000] {
            watched(&whole, portion).unwrap();
            for cut in [0, 100, BLOCK, 3 * BLOCK, whole.len() - 2 * BLOCK] {
                assert!(watched(&whole[..cut], portion).is_err(), "cut at {cut}");
            }
        }
    }

    #[test]
    fn sizes_above_eight_gigabytes() {
        let mut field = [0_u8; 12];
        field[0] = 0x80;
        field[4..].copy_from_slice(&(9_u64 << 30).to_be_bytes());
        assert_eq!(size(&field), Some(9 << 30));
        assert_eq!(size(b"00000001750\0"), Some(1000));
        assert_eq!(size(b"not a number"), None);
    }
}
