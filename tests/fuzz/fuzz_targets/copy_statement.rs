//! COPY statements of archives over arbitrary bytes.

#![no_main]

use holdpoint_archive::CopyStatement;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|statement: &[u8]| {
    if let Ok(statement) = CopyStatement::parse(statement) {
        statement.columns_list();
    }
});
