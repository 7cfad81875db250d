//! What does hostile input get? Rows by the hundred, each over HTTP to the service itself.
//!
//! A file of this folder holds one kind of attack; `accepted.rs` holds what looks like one and
//! is not. `keys.rs` and `signatures.rs` are about key sets and cryptography, the rest is text.

mod accepted;
mod algorithms;
mod claims;
mod encoding;
mod field;
mod header;
mod keys;
mod profiles;
mod signatures;

use warp_bearer::{
    auth::{Algorithm, Auth, Builder},
    issuer::Issuer,
};

use crate::support::{
    raw::{Client, Service},
    text::Object,
};

/// The service over an issuer, and a connection to it.
struct Target {
    issuer: Issuer,
    client: Client,
    service: Service,
}

impl Target {
    /// As most are run: `RS256` alone, keys found by discovery.
    async fn start() -> Self {
        Self::of(Algorithm::RS256).await
    }

    async fn of(algorithm: Algorithm) -> Self {
        let issuer = Issuer::with_algorithm(algorithm).await;
        Self::with(issuer, |auth| auth.algorithms([algorithm])).await
    }

    async fn with(issuer: Issuer, options: impl FnOnce(Builder) -> Builder) -> Self {
        let auth = Auth::builder()
            .issuer(issuer.url())
            .audience(issuer.audience());
        Self::over(issuer, options(auth)).await
    }

    async fn over(issuer: Issuer, auth: Builder) -> Self {
        let auth = auth.build().unwrap();
        auth.ready().await;
        let service = Service::start(&auth).await;
        Self {
            client: service.client().await,
            issuer,
            service,
        }
    }

    fn header(&self) -> Object {
        Object::header(&self.issuer)
    }

    fn claims(&self) -> Object {
        Object::claims(&self.issuer)
    }

    /// Signed by the issuer, whatever it says.
    fn sign(&self, header: &Object, claims: &Object) -> String {
        self.sign_text(header.text(), claims.text())
    }

    fn sign_text(&self, header: impl AsRef<[u8]>, payload: impl AsRef<[u8]>) -> String {
        self.issuer.sign_raw(header.as_ref(), payload.as_ref())
    }

    fn good(&self) -> String {
        self.sign(&self.header(), &self.claims())
    }

    /// A 401 with this code, and all that goes with it.
    async fn refuses(&mut self, case: &str, token: &str, code: &str) {
        let answer = self.client.with_token(token).await;
        answer.assert_is_problem(case, 401, code);
    }

    /// A 200 that holds the claims.
    async fn accepts(&mut self, case: &str, token: &str) {
        let answer = self.client.with_token(token).await;
        assert_eq!(answer.status.as_u16(), 200, "{case}: {answer:?}");
        assert_eq!(answer.header("content-type"), "application/json", "{case}");
        assert_eq!(answer.header("cache-control"), "no-store", "{case}");
        assert_eq!(answer.json()["iss"], self.issuer.url(), "{case}");
    }
}
