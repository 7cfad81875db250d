//! [`handle_rejection`] and [`handle_refusal`] turn warp's rejections into responses.

use std::{convert::Infallible, error::Error};

use tracing::Level;
use warp::{
    Rejection,
    body::BodyDeserializeError,
    cors::CorsForbidden,
    reject::{
        self, InvalidHeader, InvalidQuery, LengthRequired, MethodNotAllowed, MissingCookie,
        MissingHeader, PayloadTooLarge, Reject, UnsupportedMediaType,
    },
    reply::Response,
};

use crate::auth::{challenge::Refusal, problem::Problem, token::json};

impl Reject for Refusal {}

/// Turns a [`Refusal`] into a rejection that logs an error if it is dropped without a response.
pub(super) fn reject(mut refusal: Refusal) -> Rejection {
    refusal.expect_answer();
    reject::custom(refusal)
}

/// Turns every rejection into a JSON response: a [`Refusal`], warp's own rejections, and any other.
///
/// ```no_run
/// # use warp::Filter;
/// # let routes = warp::path!("a").map(|| "a");
/// routes.recover(warp_bearer::auth::handle_rejection);
/// ```
///
/// Custom rejections become a 500. To handle them yourself, put your own `recover` before this one.
///
/// With warp's CORS filter, use this handler twice. Before the filter, it makes the filter add CORS
/// headers to errors, so that pages can read them. After the filter, it turns the filter's own
/// rejections into JSON. Also add `Vary` for caches, because the filter does not, and expose the
/// challenge to pages:
///
/// ```no_run
/// # use warp::{Filter, http::header};
/// # use warp_bearer::auth::handle_rejection;
/// # let routes = warp::path!("a").map(|| "a");
/// let cors = warp::cors()
///     .allow_origin("https://app.example.com")
///     .allow_methods(["GET", "POST"])
///     .allow_header(header::AUTHORIZATION)
///     .expose_header(header::WWW_AUTHENTICATE);
/// routes
///     .recover(handle_rejection)
///     .with(cors)
///     .recover(handle_rejection)
///     .with(warp::reply::with::header("vary", "origin"));
/// ```
///
/// # Errors
/// Never fails.
pub async fn handle_rejection(rejection: Rejection) -> Result<Response, Infallible> {
    Ok(match answer_to(&rejection) {
        Some(answer) => answer,
        None if rejection.is_not_found() => Problem::NotFound.response(),
        None => {
            tracing::error!("unknown rejection; add a recover before handle_rejection");
            Problem::Internal.response()
        }
    })
}

/// Turns a [`Refusal`] into a JSON response, and passes on every other rejection to the next
/// `recover`. Use it if your service has its own final handler.
///
/// ```
/// use std::convert::Infallible;
/// use warp::{Filter, Rejection, http::StatusCode};
/// use warp_bearer::auth::{Auth, Claims, handle_refusal, with_auth};
///
/// async fn final_handler(_: Rejection) -> Result<StatusCode, Infallible> {
///     Ok(StatusCode::IM_A_TEAPOT)
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), warp_bearer::auth::SetupError> {
/// # let auth = Auth::discover("https://tenant.eu.auth0.com/", "https://api.example.com")?;
/// let me = warp::path!("me").and(with_auth(&auth)).map(|_: Claims| "you");
/// let routes = me.recover(handle_refusal).recover(final_handler);
///
/// let ours = warp::test::request().path("/me").reply(&routes).await;
/// assert_eq!(ours.status(), 401);
/// let theirs = warp::test::request().path("/elsewhere").reply(&routes).await;
/// assert_eq!(theirs.status(), 418);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// Returns the rejection if it is not a [`Refusal`].
pub async fn handle_refusal(rejection: Rejection) -> Result<Response, Rejection> {
    let answer = rejection.find::<Refusal>().map(Refusal::response);
    answer.ok_or(rejection)
}

/// Turns a rejection into the final response of its route. Rejections because of the path or the
/// method are passed on, and so are custom ones.
///
/// In a group of routes, one may reject the method, and another the token or the body. It's the
/// latter that decides the response. Otherwise, the next route would answer a request that we have
/// rejected.
pub(super) fn final_answer(rejection: Rejection) -> Result<Response, Rejection> {
    if let Some(refusal) = rejection.find::<Refusal>() {
        return Ok(refusal.response());
    }
    match problem_of(&rejection) {
        None | Some(Problem::MethodNotAllowed) => Err(rejection),
        Some(problem) => Ok(problem.response()),
    }
}

fn answer_to(rejection: &Rejection) -> Option<Response> {
    if let Some(refusal) = rejection.find::<Refusal>() {
        return Some(refusal.response());
    }
    problem_of(rejection).map(Problem::response)
}

/// The problem for one of warp's own rejections. We look for body errors first, because a body
/// error in one route says more than a wrong method for another route.
fn problem_of(rejection: &Rejection) -> Option<Problem> {
    let if_found = |found: bool, problem| found.then_some(problem);
    let invalid_body = rejection.find::<BodyDeserializeError>();
    let rows = [
        if_found(
            rejection.find::<PayloadTooLarge>().is_some(),
            Problem::PayloadTooLarge,
        ),
        if_found(
            rejection.find::<UnsupportedMediaType>().is_some(),
            Problem::UnsupportedMediaType,
        ),
        if_found(
            rejection.find::<LengthRequired>().is_some(),
            Problem::LengthRequired,
        ),
        if_found(invalid_body.is_some(), Problem::InvalidBody),
        if_found(
            rejection.find::<CorsForbidden>().is_some(),
            Problem::CorsForbidden,
        ),
        if_found(is_bad_request(rejection), Problem::BadRequest),
        private_problem_of(rejection),
        if_found(
            rejection.find::<MethodNotAllowed>().is_some(),
            Problem::MethodNotAllowed,
        ),
    ];
    let problem = rows.into_iter().flatten().next();
    if let Some(error) = invalid_body
        && problem == Some(Problem::InvalidBody)
        && tracing::enabled!(Level::DEBUG)
    {
        // The reason without the value that does not fit, which warp's own debug log contains
        let code = Problem::InvalidBody.code();
        let reason = error.source().and_then(json::reason);
        tracing::debug!(code, reason, "request rejected");
    }
    problem
}

fn is_bad_request(rejection: &Rejection) -> bool {
    rejection.find::<InvalidQuery>().is_some()
        || rejection.find::<InvalidHeader>().is_some()
        || rejection.find::<MissingHeader>().is_some()
        || rejection.find::<MissingCookie>().is_some()
}

/// The names of the rejections whose types we cannot name: they are private to warp, or exist only
/// with a feature of warp that this crate does not enable.
const PRIVATE: [(&str, Problem); 6] = [
    ("BodyReadError", Problem::InvalidBody),
    ("MissingConnectionUpgrade", Problem::BadRequest),
    ("MissingExtension", Problem::Internal),
    ("BodyConsumedMultipleTimes", Problem::Internal),
    ("FileOpenError", Problem::Internal),
    ("FilePermissionError", Problem::Internal),
];

/// The problem for one of the [`PRIVATE`] rejections. Without this, the next route would respond to
/// a request whose body cannot be read.
///
/// Only the `Debug` output has their names. In its pretty form, each cause begins a line with four
/// spaces, or eight in a list of causes. A name that is deeper inside of a cause does not count. A
/// rejection of your own whose type has one of these names counts like warp's.
fn private_problem_of(rejection: &Rejection) -> Option<Problem> {
    if rejection.is_not_found() {
        return None;
    }
    let causes = format!("{rejection:#?}");
    let indent = if causes.starts_with("Rejection(\n    [\n") {
        "        "
    } else {
        "    "
    };
    let names = causes.lines().filter_map(|line| {
        let line = line.strip_prefix(indent)?;
        let name = line.trim_end_matches([',', '(', '{', ' ']);
        name.chars().all(char::is_alphanumeric).then_some(name)
    });
    let names: Vec<_> = names.collect();
    let row = PRIVATE.iter().find(|(name, _)| names.contains(name));
    let (name, problem) = *row?;
    if problem == Problem::Internal {
        tracing::error!(rejection = name, "warp could not handle a request");
    }
    Some(problem)
}
