//! `/backchannel-logout`, which exists only if a logout client is configured.

use warp::Filter;
use warp_bearer::{
    auth::{Algorithm, Auth},
    issuer::Issuer,
    service::{Access, Shutdown, routes},
};

async fn ask(
    routes: &(
         impl Filter<Extract = (warp::reply::Response,), Error = std::convert::Infallible>
         + Clone
         + Send
         + Sync
         + 'static
     ),
    method: &str,
    content_type: &str,
    body: &str,
) -> (u16, String) {
    let request = warp::test::request()
        .method(method)
        .path("/backchannel-logout")
        .header("content-type", content_type)
        .body(body);
    let answer = request.reply(routes).await;
    let body = String::from_utf8(answer.body().to_vec()).unwrap();
    if answer.status() != 404 && answer.status() != 405 && answer.status() != 415 {
        assert_eq!(answer.headers()["cache-control"], "no-store", "{body}");
    }
    (answer.status().as_u16(), body)
}

const FORM: &str = "application/x-www-form-urlencoded";

#[tokio::test]
async fn logout_token_ends_the_session() {
    let issuer = Issuer::with_algorithm(Algorithm::ES256).await;
    let builder = Auth::builder()
        .issuer(issuer.url())
        .audience(issuer.audience())
        .algorithms([Algorithm::ES256])
        .logout_client(issuer.client_id());
    let auth = builder.build().unwrap();
    let routes = routes(&Access::from(&auth), &Shutdown::new());
    let token = issuer.token().claim("sid", "s1").sign();
    let private = async || {
        let request = warp::test::request()
            .path("/api/private")
            .header("authorization", format!("Bearer {token}"));
        let answer = request.reply(&routes).await;
        (
            answer.status().as_u16(),
            String::from_utf8(answer.body().to_vec()).unwrap(),
        )
    };
    assert_eq!(private().await.0, 200);
    let logout = || issuer.logout_token().claim("sid", "s1").sign();
    let form = |token: &str| format!("logout_token={token}");
    let forged = issuer.logout_token().audience("other").sign();
    let twice = format!("{}&{}", form(&logout()), form(&logout()));
    let long = format!("a={}", "a".repeat(128 * 1024));
    let many = format!("{}{}", "a&".repeat(30_000), form(&logout()));
    #[rustfmt::skip]
    let rows = [
        ("nothing", "POST", FORM, "", 400),
        ("another field", "POST", FORM, "token=a", 400),
        ("not a JWT", "POST", FORM, "logout_token=a", 400),
        ("for another client", "POST", FORM, &form(&forged), 400),
        ("two", "POST", FORM, &twice, 400),
        ("a long form", "POST", FORM, &long, 413),
        ("many fields", "POST", FORM, &many, 413),
        ("JSON", "POST", "application/json", "{}", 415),
        ("half a type", "POST", "application/x-www-form", "logout_token=a", 415),
        ("no type", "POST", "", "logout_token=a", 415),
        ("a GET", "GET", FORM, "", 405),
    ];
    for (case, method, content_type, body, expected) in rows {
        let (status, body) = ask(&routes, method, content_type, body).await;
        assert_eq!(status, expected, "{case}: {body}");
        if status == 400 {
            assert!(body.contains("invalid_logout_token"), "{case}: {body}");
        }
    }
    assert_eq!(
        private().await.0,
        200,
        "a rejected request does not end the session"
    );
    let once = format!("state=1&{}&x", form(&logout()));
    let with_charset = format!("{}; charset=UTF-8", FORM.to_uppercase());
    assert_eq!(ask(&routes, "POST", &with_charset, &once).await.0, 200);
    let (status, body) = private().await;
    assert_eq!(status, 401);
    assert!(body.contains("token_revoked"), "{body}");
    assert_eq!(
        ask(&routes, "POST", FORM, &once).await.0,
        400,
        "a logout token is accepted only once"
    );
}

#[tokio::test]
async fn route_is_absent_without_a_client() {
    let issuer = Issuer::with_algorithm(Algorithm::ES256).await;
    let auth = Auth::discover(issuer.url(), issuer.audience()).unwrap();
    let routes = routes(&Access::from(&auth), &Shutdown::new());
    let token = format!("logout_token={}", issuer.logout_token().sign());
    assert_eq!(ask(&routes, "POST", FORM, &token).await.0, 404);
}
