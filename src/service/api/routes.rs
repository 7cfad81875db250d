//! The route table: every path, method and policy on one screen.

use std::{convert::Infallible, future::ready};

use hyper::body::Bytes;
use warp::{Filter, http::HeaderMap, reply::Response};

#[cfg(feature = "docs")]
use crate::service::api::docs::{Docs, openapi::Schemes};
use crate::{
    auth::{Claims, policy::scope},
    service::api::{
        errors::show,
        forward_auth, handlers,
        matcher::Methods,
        route::{Access, Form, Row, at_below, named_scopes, route, table},
    },
};

/// Returns the service's routes. They answer every request, so no rejection is left to handle.
///
/// `/readyz` answers 503 while `is_stopping` returns true.
pub fn routes<S>(
    access: &Access,
    is_stopping: S,
) -> impl Filter<Extract = (Response,), Error = Infallible> + Clone + Send + Sync + 'static + use<S>
where
    S: Fn() -> bool + Clone + Send + Sync + 'static,
{
    table(rows(access, is_stopping))
}

/// The rows of the table: this path, this method, this permission, this handler.
pub fn rows(
    access: &Access,
    is_stopping: impl Fn() -> bool + Clone + Send + Sync + 'static,
) -> Vec<Row> {
    let auth = access.auth.clone();
    let mut rows = vec![
        route!(GET, "api" / "public")
            .then(handlers::public)
            .says("A message, open to all", Form::Message),
        //
        route!(GET, "api" / "private")
            .with_auth(access)
            .then(handlers::private)
            .says(
                "The token's claims, as the issuer signed them",
                Form::Claims,
            ),
        //
        route!(GET, "api" / "private-scoped")
            .with_auth(access)
            .require(scope("read:messages"))
            .then(handlers::private_scoped)
            .says("A message, for those who may read it", Form::Message),
        //
        route!(ANY, "auth")
            .with_auth(access)
            .require_by_query(forward_auth::policy)
            .then(|claims: Claims| ready(forward_auth::identity_answer(&claims)))
            .says("Whose token it is, for a proxy that asks", Form::Forwarded),
        //
        route!(GET, "livez")
            .then(handlers::livez)
            .says("The process runs", Form::Object),
        //
        route!(GET, "readyz")
            .then(move || handlers::readyz(auth.clone(), is_stopping()))
            .says("Keys are held, and how old they are", Form::Readiness),
    ];
    if access.auth.accepts_logout() {
        let auth = access.auth.clone();
        let row = route!(POST, "backchannel-logout")
            .form()
            .then(move |form: Vec<(String, String)>| handlers::logout(auth.clone(), form))
            .says(
                "The issuer ends a session (OpenID Connect Back-Channel Logout)",
                Form::Object,
            );
        rows.push(row);
    }
    if access.forward_auth_paths {
        // The query is the client's own, so it names no policy.
        let below = at_below(Methods::Any, "/auth/*", "auth")
            .with_auth(access)
            .then(|claims: Claims| ready(forward_auth::identity_answer(&claims)))
            .says("The same, with the client's path appended", Form::Forwarded);
        rows.push(below);
    }
    rows.extend(error_pages());
    // The metadata name the scopes that the rows above require (RFC 9728).
    let scopes: Vec<_> = named_scopes(&rows).into_iter().map(str::to_owned).collect();
    let metadata = access.auth.metadata(scopes.clone());
    rows.extend(metadata.map(|metadata| {
        let auth = access.auth.clone();
        // Written for each request, because a reload may have replaced the issuers.
        let document = move || {
            let metadata = auth.metadata(scopes.clone());
            Bytes::from(serde_json::to_vec(&metadata).unwrap_or_default())
        };
        route!(GET, ".well-known" / "oauth-protected-resource")
            .also_at(metadata.path())
            .then(move || handlers::document(document(), "public, max-age=3600"))
            .says(
                "What a client needs to know to get a token (RFC 9728)",
                Form::Object,
            )
    }));
    #[cfg(feature = "docs")]
    rows.extend(docs_pages(access, &rows));
    rows
}

/// The pages of the error codes.
fn error_pages() -> [Row; 2] {
    [
        route!(GET, "errors")
            .headers()
            .then(|headers: HeaderMap| ready(show::index(&headers)))
            .says("Every code that an answer can have", Form::Codes),
        //
        route!(GET, "errors" / { code })
            .headers()
            .then(|code: String, headers: HeaderMap| ready(show::page(&code, &headers)))
            .says("What a code means, and how to fix its causes", Form::Code),
    ]
}

/// The description of the rows above, and the page to try them on.
#[cfg(feature = "docs")]
fn docs_pages(access: &Access, rows: &[Row]) -> Vec<Row> {
    let Some(docs) = &access.docs else {
        return Vec::new();
    };
    // The description lists these rows too, and they serve it. Their data does not depend on it, so a
    // first set of them, with an empty description, is enough to write it.
    let named = docs_rows(docs, String::new());
    let all: Vec<&Row> = rows.iter().chain(&named).collect();
    let schemes = Schemes {
        bearer: access.auth.accepts_bearer(),
        dpop: access.auth.accepts_proofs(),
        field: access.auth.token_field(),
    };
    docs_rows(docs, docs.openapi_with(&all, schemes)).into()
}

#[cfg(feature = "docs")]
fn docs_rows(docs: &Docs, openapi: String) -> [Row; 3] {
    let openapi = Bytes::from(openapi);
    let page = docs.pages();
    let files = page.clone();
    [
        route!(GET, "openapi.json")
            .then(move || handlers::document(openapi.clone(), "no-cache"))
            .says("This description of the routes (OpenAPI 3.1)", Form::Object),
        //
        route!(GET, "docs")
            .then(move || ready(page.page()))
            .says("The page on which they are tried", Form::Page),
        //
        route!(GET, "docs" / { file })
            .then(move |file: String| ready(files.file(&file)))
            .says("What that page loads", Form::File),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::Auth;
    use crate::service::http::cors::GATE;

    #[tokio::test]
    async fn the_gate_is_the_row_that_takes_any_method() {
        let auth = Auth::discover("https://issuer.example/", "urn:api").unwrap();
        let any = |forward_auth_paths: bool| {
            let access = Access {
                forward_auth_paths,
                ..Access::from(&auth)
            };
            let rows = rows(&access, || false).into_iter();
            let any = rows.filter(|row| row.methods == Methods::Any);
            any.map(|row| row.template).collect::<Vec<_>>()
        };
        assert_eq!(any(false), [GATE]);
        assert_eq!(any(true), [GATE, &format!("{GATE}/*")]);
    }
}
