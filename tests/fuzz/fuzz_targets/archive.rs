//! The archive reader over arbitrary bytes: it ends, and the size of the portions decides nothing.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u16, &[u8])| {
    let (portion, archive) = input;
    let whole = holdpoint_archive::read_all(archive, usize::MAX).ok();
    assert_eq!(holdpoint_archive::read_all(archive, usize::from(portion)).ok(), whole);
});
