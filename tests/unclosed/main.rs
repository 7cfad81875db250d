//! If another route answers a rejected request, an error is logged.
//!
//! The error is logged only once per process, so this test has a binary of its own.

use std::{
    io::{self, Write},
    sync::{Arc, Mutex},
};

use warp::{Filter, Rejection};
use warp_bearer::auth::{
    Auth, BearerFilterExt, Claims, handle_rejection, policy::scope, with_auth, with_optional_auth,
};

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn logs_a_refusal_answered_by_another_route_once() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_writer(move || writer.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let reports = || {
        let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
        text.matches("answered by another route").count()
    };

    let auth = Auth::discover("https://tenant.eu.auth0.com/", "https://api.example.com").unwrap();
    let secret = warp::path!("secret")
        .and(with_auth(&auth).require(scope("read")))
        .map(|_: Claims| "a secret");
    let optional = warp::path!("optional")
        .and(with_optional_auth(&auth))
        .map(|claims: Option<Claims>| claims.map_or("nobody", |_| "somebody"));
    let catch_all = warp::any().map(|| "a page");
    let custom = |rejection: Rejection| async move {
        let refusal = rejection.find::<warp_bearer::auth::Refusal>().unwrap();
        Ok::<_, Rejection>(refusal.www_authenticate().unwrap())
    };

    let get = |path| warp::test::request().path(path);
    let closed = secret.clone().route().or(catch_all);
    assert_eq!(get("/secret").reply(&closed).await.status(), 401);
    let recovered = secret.clone().recover(handle_rejection);
    assert_eq!(get("/secret").reply(&recovered).await.status(), 401);
    let own = secret.clone().recover(custom);
    assert_eq!(get("/secret").reply(&own).await.status(), 200);
    assert_eq!(get("/optional").reply(&optional).await.body(), "nobody");
    assert_eq!(reports(), 0, "each of these answers on purpose");

    let open = secret.or(catch_all);
    for _ in 0..3 {
        assert_eq!(get("/secret").reply(&open).await.body(), "a page");
    }
    assert_eq!(reports(), 1);
}
