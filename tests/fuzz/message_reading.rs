//! Reading a message for its meaning: never fails, never grows beyond its limits, gives the same twice.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mail::{ATTACHMENTS_MAX, BODY_MAX_BYTES, REFERENCES_MAX, read};

fuzz_target!(|bytes: &[u8]| {
    let reading = read(bytes);
    assert!(reading.body.len() <= BODY_MAX_BYTES);
    assert!(reading.attachments.len() <= ATTACHMENTS_MAX);
    assert!(reading.references.len() <= REFERENCES_MAX);
    assert_eq!(reading, read(bytes));
    let mut count = 0;
    archive::words::words(&reading.body, |_| count += 1);
    assert!(count <= reading.body.len());
    let from = reading.from.iter().chain(&reading.to).chain(&reading.cc);
    for address in from.map(|address| address.address.as_str()) {
        let normal = mail::normal_address(address);
        assert_eq!(mail::normal_address(&normal), normal, "{address}");
    }
});
