//! The route table: every path, method and policy on one screen.

use std::convert::Infallible;

use warp::{Filter, reply::Response};

use super::{
    Shutdown, handlers,
    table::{Row, route, table},
};
use crate::auth::{Auth, scope};

/// The service's routes. They answer every request, so that there is no rejection left to forget.
pub fn routes(
    auth: &Auth,
    shutdown: &Shutdown,
) -> impl Filter<Extract = (Response,), Error = Infallible> + Clone + Send + Sync + 'static + use<>
{
    table(rows(auth, shutdown))
}

/// The rows of the table: this path, this method, this permission, this handler.
pub fn rows(auth: &Auth, shutdown: &Shutdown) -> Vec<Row> {
    let readiness = (auth.clone(), shutdown.clone());
    vec![
        route!(GET, "api" / "public").then(handlers::public),
        //
        route!(GET, "api" / "private")
            .with_auth(auth)
            .then(handlers::private),
        //
        route!(GET, "api" / "private-scoped")
            .with_auth(auth)
            .require(scope("read:messages"))
            .then(handlers::private_scoped),
        //
        route!(GET, "livez").then(handlers::livez),
        //
        route!(GET, "readyz").then(move || {
            let (auth, shutdown) = readiness.clone();
            handlers::readyz(auth, shutdown)
        }),
    ]
}
