//! The route table: every path, method and policy on one screen.

use std::convert::Infallible;

use warp::{Filter, reply::Response};

use super::{
    Shutdown, forward, handlers,
    table::{Access, Row, named_scopes, route, table},
};
use crate::auth::scope;

/// The service's routes. They answer every request, so that there is no rejection left to forget.
pub fn routes(
    access: &Access,
    shutdown: &Shutdown,
) -> impl Filter<Extract = (Response,), Error = Infallible> + Clone + Send + Sync + 'static + use<>
{
    table(rows(access, shutdown))
}

/// The rows of the table: this path, this method, this permission, this handler.
pub fn rows(access: &Access, shutdown: &Shutdown) -> Vec<Row> {
    let readiness = (access.auth.clone(), shutdown.clone());
    let mut rows = vec![
        route!(GET, "api" / "public").then(handlers::public),
        //
        route!(GET, "api" / "private")
            .with_auth(access)
            .then(handlers::private),
        //
        route!(GET, "api" / "private-scoped")
            .with_auth(access)
            .require(scope("read:messages"))
            .then(handlers::private_scoped),
        //
        route!(ANY, "auth")
            .with_auth(access)
            .require_by_query(forward::policy)
            .then(handlers::forwarded),
        //
        route!(GET, "livez").then(handlers::livez),
        //
        route!(GET, "readyz").then(move || {
            let (auth, shutdown) = readiness.clone();
            handlers::readyz(auth, shutdown)
        }),
    ];
    rows.extend(error_pages());
    // Where a resource is configured, what the rows above require of its clients (RFC 9728).
    rows.extend(access.auth.metadata(named_scopes(&rows)).map(|metadata| {
        route!(GET, ".well-known" / "oauth-protected-resource")
            .also_at(metadata.path())
            .then(move || handlers::metadata(metadata.clone()))
    }));
    rows
}

/// What the answers of the rows above mean, for whoever got one.
fn error_pages() -> [Row; 2] {
    [
        route!(GET, "errors").then_for(handlers::errors),
        //
        route!(GET, "errors" / { code }).then(handlers::error),
    ]
}
