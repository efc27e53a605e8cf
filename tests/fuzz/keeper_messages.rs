//! What passes over the keeper's socket, and the receptions and events inside: reading what was written gives the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use service::keeper::messages::{Request, Response};
use store::{decode_event, decode_reception, encode_event, encode_reception};

fn check_reception(bytes: &[u8]) {
    if let Some(reception) = decode_reception(bytes) {
        let again = decode_reception(&encode_reception(&reception));
        assert_eq!(again, Some(reception));
    }
}

fn check_event(bytes: &[u8]) {
    if let Some(event) = decode_event(bytes) {
        assert_eq!(decode_event(&encode_event(&event)), Some(event));
    }
}

fn check_request(request: &Request) {
    match request {
        Request::Deposit(deposit) => check_reception(&deposit.reception),
        Request::Log { event, .. } => check_event(event),
        _ => {}
    }
    let bytes = postcard::to_stdvec(request).expect("memory takes all");
    assert_eq!(
        postcard::from_bytes::<Request>(&bytes).as_ref(),
        Ok(request)
    );
}

fuzz_target!(|bytes: &[u8]| {
    check_reception(bytes);
    check_event(bytes);
    if let Ok(request) = postcard::from_bytes(bytes) {
        check_request(&request);
    }
    if let Ok(response) = postcard::from_bytes::<Response>(bytes) {
        let bytes = postcard::to_stdvec(&response).expect("memory takes all");
        assert_eq!(postcard::from_bytes(&bytes), Ok(response));
    }
});
