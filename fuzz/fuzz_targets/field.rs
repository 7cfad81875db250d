//! Sends any input as `Authorization` through the filter. It must be rejected with a well-formed
//! response.
//!
//! A line feed in the input separates two headers.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tower_service::Service;
use warp::{
    Filter,
    http::{HeaderValue, Request, header::AUTHORIZATION},
};
use warp_bearer::auth::{BearerFilterExt, Claims, with_auth};
use warp_bearer_fuzz::{auth, vectors, wait};

fuzz_target!(|input: &[u8]| {
    let routes = warp::any()
        .and(with_auth(auth()))
        .map(|_: Claims| "claims")
        .route();
    let mut request = Request::new(String::new());
    for field in input.split(|byte| *byte == b'\n') {
        let Ok(value) = HeaderValue::from_bytes(field) else {
            return;
        };
        request.headers_mut().append(AUTHORIZATION, value);
    }
    let answer = wait(warp::service(routes).call(request)).unwrap();
    let good = vectors().iter().any(|vector| {
        let token = vector["token"].as_str().unwrap().as_bytes();
        input.ends_with(token) && !input.contains(&b'\n')
    });
    match answer.status().as_u16() {
        200 => assert!(good, "accepted"),
        400 | 401 => assert!(answer.headers().contains_key("www-authenticate")),
        other => panic!("{other}"),
    }
});
