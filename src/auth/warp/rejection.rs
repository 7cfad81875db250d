//! Turns warp's rejections into responses: [`handle_rejection`] and [`handle_refusal`].

use std::convert::Infallible;

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

use crate::auth::{challenge::Refusal, problem::Problem};

impl Reject for Refusal {}

/// Turns a [`Refusal`] into a rejection that logs an error if it is dropped without a response.
pub(super) fn reject(mut refusal: Refusal) -> Rejection {
    refusal.expect_answer();
    reject::custom(refusal)
}

/// Answers every rejection in JSON: a [`Refusal`], warp's own, and any other.
///
/// ```no_run
/// # use warp::Filter;
/// # let routes = warp::path!("a").map(|| "a");
/// routes.recover(warp_bearer::auth::handle_rejection);
/// ```
///
/// A rejection that comes neither from this crate nor from warp is answered with 500. Put a
/// `recover` for your own rejections before this one.
///
/// With warp's CORS filter, use this handler on both sides. Inside, it lets errors carry the CORS
/// header fields, so that a page can read them; outside, it turns the rejections of the CORS filter
/// into JSON. Caches need `Vary`, which the filter leaves out, and pages need the challenge, which
/// browsers hide:
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
/// None.
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

/// Answers a [`Refusal`] in JSON and passes every other rejection on to the next `recover`, so that
/// a service can keep its own final handler.
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
/// The rejection, if it is not a [`Refusal`].
pub async fn handle_refusal(rejection: Rejection) -> Result<Response, Rejection> {
    let answer = rejection.find::<Refusal>().map(Refusal::response);
    answer.ok_or(rejection)
}

/// Answers a rejection that ends its route. Passes on rejections for a path or method that does not
/// match, and those that come neither from this crate nor from warp.
pub(super) fn final_answer(rejection: Rejection) -> Result<Response, Rejection> {
    if rejection.find::<MethodNotAllowed>().is_some() {
        return Err(rejection);
    }
    answer_to(&rejection).ok_or(rejection)
}

fn answer_to(rejection: &Rejection) -> Option<Response> {
    if let Some(refusal) = rejection.find::<Refusal>() {
        return Some(refusal.response());
    }
    problem_of(rejection).map(Problem::response)
}

/// Returns the problem for one of warp's own rejections. A body error from one route is more
/// informative than a wrong method for another route, so body errors come first.
fn problem_of(rejection: &Rejection) -> Option<Problem> {
    let is = |found: bool, problem| found.then_some(problem);
    let rows = [
        is(
            rejection.find::<PayloadTooLarge>().is_some(),
            Problem::PayloadTooLarge,
        ),
        is(
            rejection.find::<UnsupportedMediaType>().is_some(),
            Problem::UnsupportedMediaType,
        ),
        is(
            rejection.find::<LengthRequired>().is_some(),
            Problem::LengthRequired,
        ),
        is(
            rejection.find::<BodyDeserializeError>().is_some(),
            Problem::InvalidBody,
        ),
        is(
            rejection.find::<CorsForbidden>().is_some(),
            Problem::CorsForbidden,
        ),
        is(is_bad_request(rejection), Problem::BadRequest),
        is(
            rejection.find::<MethodNotAllowed>().is_some(),
            Problem::MethodNotAllowed,
        ),
    ];
    rows.into_iter().flatten().next()
}

fn is_bad_request(rejection: &Rejection) -> bool {
    rejection.find::<InvalidQuery>().is_some()
        || rejection.find::<InvalidHeader>().is_some()
        || rejection.find::<MissingHeader>().is_some()
        || rejection.find::<MissingCookie>().is_some()
}
