//! The route table: every path, method and policy on one screen.

use std::convert::Infallible;

use hyper::body::Bytes;
use warp::{Filter, reply::Response};

#[cfg(feature = "docs")]
use crate::service::api::docs::Docs;
use crate::{
    auth::policy::scope,
    service::api::{
        forward_auth, handlers,
        table::{Access, Form, Row, named_scopes, route, table},
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
            .then(handlers::forwarded)
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
    rows.extend(error_pages());
    // Where a resource is configured, what the rows above require of its clients (RFC 9728).
    let metadata = access.auth.metadata(named_scopes(&rows));
    rows.extend(metadata.and_then(|metadata| {
        // It holds strings alone, which always serialize.
        let document = Bytes::from(serde_json::to_vec(&metadata).ok()?);
        let row = route!(GET, ".well-known" / "oauth-protected-resource")
            .also_at(metadata.path())
            .then(move || handlers::metadata(document.clone()))
            .says(
                "What a client needs to know to get a token (RFC 9728)",
                Form::Object,
            );
        Some(row)
    }));
    #[cfg(feature = "docs")]
    rows.extend(docs_pages(access, &rows));
    rows
}

/// What the answers of the rows above mean, for whoever got one.
fn error_pages() -> [Row; 2] {
    [
        route!(GET, "errors")
            .then_for(handlers::errors)
            .says("Every code that an answer can have", Form::Codes),
        //
        route!(GET, "errors" / { code }).then(handlers::error).says(
            "What a code means, and how what causes it is mended",
            Form::Code,
        ),
    ]
}

/// The rows above for programs, and for people who want to try them.
#[cfg(feature = "docs")]
fn docs_pages(access: &Access, rows: &[Row]) -> Vec<Row> {
    let Some(docs) = &access.docs else {
        return Vec::new();
    };
    // The description has these rows in it too, and they need it: what they are is known without.
    let named = docs_rows(docs, String::new());
    let all: Vec<&Row> = rows.iter().chain(&named).collect();
    docs_rows(docs, docs.openapi(&all)).into()
}

#[cfg(feature = "docs")]
fn docs_rows(docs: &Docs, openapi: String) -> [Row; 3] {
    let openapi = Bytes::from(openapi);
    let page = docs.pages();
    let files = page.clone();
    [
        route!(GET, "openapi.json")
            .then(move || handlers::openapi(openapi.clone()))
            .says("This description of the routes (OpenAPI 3.1)", Form::Object),
        //
        route!(GET, "docs")
            .then(move || handlers::docs(page.clone()))
            .says("The page on which they are tried", Form::Page),
        //
        route!(GET, "docs" / { file })
            .then(move |file, _| handlers::docs_file(files.clone(), file))
            .says("What that page loads", Form::File),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::Auth;
    use crate::service::{api::table::Methods, http::cors::GATE};

    #[tokio::test]
    async fn the_gate_is_the_row_that_takes_any_method() {
        let auth = Auth::discover("https://issuer.example/", "urn:api").unwrap();
        let rows = rows(&Access::from(&auth), || false);
        let any = rows.iter().filter(|row| row.methods == Methods::Any);
        assert_eq!(any.map(|row| row.template).collect::<Vec<_>>(), [GATE]);
    }
}
