//! Hostile tokens and key sets, sent over HTTP to the real service.
//!
//! Each file here covers one kind of attack, except that `accepted.rs` has tokens that only look
//! like one. `keys.rs` and `signatures.rs` test key sets and cryptography, the others mostly
//! parsing.

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

struct Target {
    issuer: Issuer,
    client: Client,
    service: Service,
}

impl Target {
    /// Starts the service with the usual options: `RS256` alone, and keys by discovery.
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

    /// Signs the header and payload as they are, however malformed.
    fn sign(&self, header: &Object, claims: &Object) -> String {
        self.sign_text(header.text(), claims.text())
    }

    fn sign_text(&self, header: impl AsRef<[u8]>, payload: impl AsRef<[u8]>) -> String {
        self.issuer.sign_raw(header.as_ref(), payload.as_ref())
    }

    fn good(&self) -> String {
        self.sign(&self.header(), &self.claims())
    }

    /// Expects a 401 with this code, and everything that an error response must have.
    async fn refuses(&mut self, case: &str, token: &str, code: &str) {
        let answer = self.client.with_token(token).await;
        answer.assert_is_problem(case, 401, code);
    }

    async fn accepts(&mut self, case: &str, token: &str) {
        let answer = self.client.with_token(token).await;
        assert_eq!(answer.status.as_u16(), 200, "{case}: {answer:?}");
        assert_eq!(answer.header("content-type"), "application/json", "{case}");
        assert_eq!(answer.header("cache-control"), "no-store", "{case}");
        assert_eq!(answer.json()["iss"], self.issuer.url(), "{case}");
    }
}
