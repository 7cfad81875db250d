//! The route table, with every path, method and policy.

use std::{convert::Infallible, future::ready, sync::Arc, time::Duration};

use hyper::body::Bytes;
use serde_json::json;
use warp::{
    Filter,
    http::{HeaderMap, Method},
    reply::Response,
};

#[cfg(feature = "docs")]
use crate::{
    auth::explain::Schemes as AuthSchemes,
    service::api::docs::{Docs, openapi::Schemes},
};
use crate::{
    auth::{
        Auth, AuthError, Claims, Problem,
        policy::scope,
        resource::{Resources, WELL_KNOWN},
    },
    service::api::{
        errors::show,
        forward_auth, handlers,
        matcher::{Methods, is_at},
        queries::{QueryRequirements, ReadPolicy},
        route::{
            Access, Extracts, Form, Route, Row, Target, at, at_below, at_exactly, named_scopes,
            route, table,
        },
        shared_document::SharedDocument,
    },
};

/// Returns the service's routes. They answer every request, and never reject.
///
/// `/readyz` returns 503 while `is_stopping` returns true.
pub fn routes<S>(
    access: &Access,
    is_stopping: S,
) -> impl Filter<Extract = (Response,), Error = Infallible> + Clone + Send + Sync + 'static + use<S>
where
    S: Fn() -> bool + Clone + Send + Sync + 'static,
{
    table(rows(access, is_stopping))
}

/// Returns the rows of the table.
pub fn rows(
    access: &Access,
    is_stopping: impl Fn() -> bool + Clone + Send + Sync + 'static,
) -> Vec<Row> {
    let readiness = handlers::Readiness::new(access.auth.clone());
    let mut rows = if access.demo_routes {
        demo_rows(access).into()
    } else {
        Vec::new()
    };
    let (policy, says) = (
        forward_auth::parse_query,
        "Forward authentication for a proxy: the identity of the caller",
    );
    // If we also serve the paths below `/auth`, then `/auth/` stands for the client's path `/`
    rows.push(if access.forward_auth_paths {
        gate(access, at_exactly(Methods::Any, "/auth"), policy, says)
    } else {
        gate(access, route!(ANY, "auth"), policy, says)
    });
    rows.extend([
        route!(GET, "livez")
            .then(handlers::livez)
            .says("Liveness: the process runs", Form::Object),
        //
        route!(GET, "readyz")
            .then(move || handlers::readyz(Arc::clone(&readiness), is_stopping()))
            .says(
                "Readiness: the keys of each issuer, and their age",
                Form::Readiness,
            ),
    ]);
    if access.auth.accepts_logout() {
        let auth = access.auth.clone();
        let row = route!(POST, "backchannel-logout")
            .form("logout_token", max_form_bytes(access))
            .then(move |token| handlers::logout(auth.clone(), token))
            .fails_with(logout_problems())
            .says(
                "Revokes a session for the issuer (OpenID Connect Back-Channel Logout)",
                Form::Empty,
            );
        rows.push(row);
    }
    if access.forward_auth_paths {
        // The client controls the query here, so it must not contain the policy
        let says = "Forward authentication, with the client's path appended";
        let below = at_below(Methods::Any, "/auth/*", "/auth");
        rows.push(gate(
            access,
            below,
            |_| Ok(QueryRequirements::default()),
            says,
        ));
    }
    rows.extend(error_pages());
    rows.extend(metadata(access, &rows));
    if access.docs.is_some() {
        let index = index(&rows);
        rows.push(index);
    }
    #[cfg(feature = "docs")]
    rows.extend(docs_pages(access, &rows));
    rows
}

/// A proxy asks about a request of its client
fn gate<F: Extracts<()>>(
    access: &Access,
    route: Route<F>,
    policy: ReadPolicy,
    says: &'static str,
) -> Row {
    route
        .with_auth(access)
        .require_by_query(policy)
        .then(|claims: Claims| ready(forward_auth::identity_answer(&claims)))
        .says(says, Form::Forwarded)
}

/// A limit for the body of `/backchannel-logout`: room for a token whose every character is
/// percent-encoded (three bytes each), and for some other fields.
fn max_form_bytes(access: &Access) -> usize {
    3 * access.max_token_bytes + 1024
}

/// The codes of a failed logout. If the issuer's keys or the shared store are unavailable, the
/// codes are those of any token. All other faults share a code.
fn logout_problems() -> [&'static str; 3] {
    let retry_after = Duration::ZERO;
    [
        Problem::InvalidLogoutToken.code(),
        AuthError::KeysUnavailable { retry_after }.code(),
        AuthError::StateUnavailable { retry_after }.code(),
    ]
}

fn demo_rows(access: &Access) -> [Row; 3] {
    [
        route!(GET, "api" / "public")
            .then(handlers::public)
            .says("A message for everyone", Form::Message),
        //
        route!(GET, "api" / "private")
            .with_auth(access)
            .then(handlers::private)
            .says(
                "The claims of the token, as the issuer signed them",
                Form::Claims,
            ),
        //
        route!(GET, "api" / "private-scoped")
            .with_auth(access)
            .require(scope("read:messages"))
            .then(handlers::private_scoped)
            .says("A message that needs a scope", Form::Message),
    ]
}

/// Lists the rows above it, for people who open the service's URL. It shows less than
/// `/openapi.json`, but we turn it off together with it anyway.
fn index(rows: &[Row]) -> Row {
    let routes = rows.iter().map(|row| {
        json!({
            "route": format!("{} {}", row.methods, row.template),
            "says": row.summary,
            "token": row.requires.is_some(),
        })
    });
    let mut index = json!({"service": "warp-bearer", "routes": routes.collect::<Vec<_>>()});
    if cfg!(feature = "docs") {
        index["docs"] = json!("/docs");
    }
    let index = Bytes::from(index.to_string());
    at(Methods::Only(Method::GET), "/", warp::path::end())
        .then(move || handlers::document(index.clone(), "no-cache"))
        .says("What this service answers", Form::Object)
}

fn error_pages() -> [Row; 2] {
    [
        route!(GET, "errors")
            .headers()
            .then(|headers: HeaderMap| ready(show::index(&headers)))
            .says("All error codes", Form::Codes),
        //
        route!(GET, "errors" / { code })
            .headers()
            .then(|code: String, headers: HeaderMap| ready(show::page(&code, &headers)))
            .says(
                "An error code: its meaning, its causes and how to fix them",
                Form::Code,
            ),
    ]
}

/// The metadata of the resources (RFC 9728): of the configured resource, and of every audience that
/// is a URL. `None` if no resource is configured.
///
/// The path selects the document. If two resources have the same path, the proxy adds `audience` to
/// the query. We can't go by `Host`, because a client can choose it.
fn metadata(access: &Access, rows: &[Row]) -> Option<Row> {
    let scopes = access.resource_scopes.clone();
    let scopes = scopes.unwrap_or_else(|| named_scopes(rows.iter().filter(|row| !is_demo(row))));
    access.auth.metadata(&scopes)?;
    let (auth, named_by) = (access.auth.clone(), access.auth.clone());
    let paths = move || Arc::clone(&named_by.resources().paths);
    let texts = Arc::new(SharedDocument::new());
    let row = route!(GET, ".well-known" / "oauth-protected-resource")
        .also_at(paths)
        .target()
        .then(move |target: Target| {
            // A reload may have replaced the issuers, so we look this up for each request
            let resources = auth.resources();
            let found = requested(&resources, &target).and_then(|(_path, audience)| {
                let variant = audience.map(str::to_owned);
                texts.get(variant, || document(&auth, audience, &scopes))
            });
            async move {
                match found {
                    Some(text) => handlers::document(text, "public, max-age=3600").await,
                    // A reload has just removed the only audience with this path
                    None if target.query.is_empty() => Problem::NotFound.response(),
                    None => Problem::BadRequest.response(),
                }
            }
        })
        .fails_with([Problem::NotFound.code(), Problem::BadRequest.code()])
        .says(
            "Resource metadata: how a client gets a token (RFC 9728)",
            Form::Metadata,
        );
    Some(row)
}

/// Demo routes: the metadata doesn't list their scopes.
fn is_demo(row: &Row) -> bool {
    row.template.starts_with("/api/")
}

/// Serializes the metadata of an audience, or of the configured resource. We do not do this in
/// advance for all of them, since each lists its issuers, and there may be as many documents as
/// issuers.
fn document(auth: &Auth, audience: Option<&str>, scopes: &[String]) -> Option<Bytes> {
    let metadata = match audience {
        None => auth.metadata(scopes),
        Some(audience) => auth.for_audience(audience)?.metadata(scopes),
    };
    // can't fail, there are only strings
    serde_json::to_vec(&metadata?).ok().map(Bytes::from)
}

/// The path and the audience of the requested document, or `None` if the audience in the query is
/// not a resource.
///
/// Without a query, you get the first document with the path. Some clients only try the well-known
/// path without a suffix, and for them it is the configured resource, even if that has a path.
fn requested<'r>(resources: &'r Resources, target: &Target) -> Option<(&'r str, Option<&'r str>)> {
    let path = target.path.as_str();
    let mut resources = resources.iter();
    if target.query.is_empty() {
        let is_bare = is_at(WELL_KNOWN, path);
        resources.find(|(at, _)| is_bare || is_at(at, path))
    } else {
        let wanted = forward_auth::audience(&target.query);
        resources.find(|(_, audience)| audience.is_some() && *audience == wanted.as_deref())
    }
}

/// The rows for `/openapi.json`, which describes the rows above, and for `/docs`. The paths of the
/// resources are those at the start. A reload rarely changes them, and clients find the metadata
/// through challenges.
#[cfg(feature = "docs")]
fn docs_pages(access: &Access, rows: &[Row]) -> Vec<Row> {
    let Some(docs) = &access.docs else {
        return Vec::new();
    };
    // These rows serve the document, and it describes them. Their descriptions don't depend on its
    // content, so we describe copies that serve an empty document.
    let named = docs_rows(docs, Bytes::new);
    let all: Vec<&Row> = rows.iter().chain(&named).collect();
    let field = access.auth.token_field();
    let describe = |bearer, dpop| {
        let schemes = Schemes {
            bearer,
            dpop,
            field,
        };
        Bytes::from(docs.openapi_with(&all, schemes))
    };
    let bearer = describe(true, false);
    if !access.auth.can_accept_proofs() {
        return docs_rows(docs, move || bearer.clone()).into();
    }
    // A reload may change the schemes, so there's a document for each choice
    let (both, dpop) = (describe(true, true), describe(false, true));
    let auth = access.auth.clone();
    let openapi = move || match auth.schemes() {
        AuthSchemes::Bearer => bearer.clone(),
        AuthSchemes::BearerOrDpop => both.clone(),
        AuthSchemes::Dpop => dpop.clone(),
    };
    docs_rows(docs, openapi).into()
}

#[cfg(feature = "docs")]
fn docs_rows(docs: &Docs, openapi: impl Fn() -> Bytes + Clone + Send + Sync + 'static) -> [Row; 3] {
    let page = docs.pages();
    let files = page.clone();
    [
        route!(GET, "openapi.json")
            .then(move || handlers::document(openapi(), "no-cache"))
            .says("This description of the routes (OpenAPI 3.1)", Form::Object),
        //
        route!(GET, "docs")
            .then(move || ready(page.page()))
            .says("Swagger UI, to try the routes", Form::Page),
        //
        route!(GET, "docs" / { file })
            .then(move |file: String| ready(files.file(&file)))
            .says("The files of Swagger UI", Form::File),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::Auth;
    use crate::service::http::cors::GATE;

    #[tokio::test]
    async fn auth_is_the_row_for_any_method() {
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
