//! Every route of the contract: without a token, with a wrong one, with each role.

use http::{Method, StatusCode, header};
use vouchsafe_api::route::{Access, ROUTES, Route};
use vouchsafe_api::{Code, Problem, Role, ScimError, may};

use crate::world::World;

/// Routes that this walk does not reach. Keep it empty.
const UNCOVERED: &[&str] = &[];

fn path(route: &Route) -> String {
    let path = route
        .path
        .replace("{id}", "00112233445566778899aabbccddeeff")
        .replace("{request}", "MAA=");
    match route.id {
        // A stream never ends; a position that makes no sense ends it at once.
        "stream_events" => format!("{path}?since=-1"),
        _ => path,
    }
}

fn method(route: &Route) -> Method {
    route.method.into()
}

async fn ask(world: &World, route: &Route, secret: Option<&str>) -> http::Response<bytes::Bytes> {
    let media_type = route.request.first().map_or("", |body| body.media_type);
    let headers = [(header::CONTENT_TYPE, media_type)];
    world
        .raw(method(route), &path(route), secret, &headers, "{}")
        .await
}

fn problem(response: &http::Response<bytes::Bytes>) -> Option<Problem> {
    let scim = || serde_json::from_slice(response.body()).map(|error: ScimError| error.problem());
    serde_json::from_slice(response.body())
        .or_else(|_| scim())
        .ok()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_route_answers_without_a_token_or_with_a_wrong_one_and_nothing_changes() {
    let world = World::new().await;
    // Whoever asks for the list first has it signed.
    world.admin().show_crl().await.unwrap();
    let before = world.admin().show_status().await.unwrap();
    let mut covered = 0;
    for route in ROUTES {
        for secret in [None, Some("vs_wrong"), Some("")] {
            let response = ask(&world, route, secret).await;
            if route.access == Access::Open {
                assert_ne!(response.status(), StatusCode::UNAUTHORIZED, "{}", route.id);
                continue;
            }
            assert_eq!(response.status(), StatusCode::UNAUTHORIZED, "{}", route.id);
            assert_eq!(response.headers()[header::WWW_AUTHENTICATE], "Bearer");
            assert_eq!(problem(&response).unwrap().code, Code::Unauthenticated);
        }
        covered += 1;
    }
    assert_eq!(covered + UNCOVERED.len(), ROUTES.len());
    assert_eq!(world.admin().show_status().await.unwrap(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_may_not_is_refused_on_every_route_and_nothing_changes() {
    let world = World::new().await;
    let mut secrets = Vec::new();
    for role in Role::ALL {
        secrets.push((role, world.token(role).await));
    }
    let before = world.admin().show_status().await.unwrap();
    for route in ROUTES {
        for (role, secret) in &secrets {
            if may(*role, route) {
                continue;
            }
            let response = ask(&world, route, Some(secret)).await;
            assert_eq!(
                response.status(),
                StatusCode::FORBIDDEN,
                "{} as {role}",
                route.id
            );
            assert_eq!(problem(&response).unwrap().code, Code::Forbidden);
        }
    }
    assert_eq!(world.admin().show_status().await.unwrap(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_that_may_reaches_the_handler_on_every_route() {
    let world = World::new().await;
    for role in Role::ALL {
        let secret = world.token(role).await;
        for route in ROUTES.iter().filter(|route| may(role, route)) {
            let response = ask(&world, route, Some(&secret)).await;
            let status = response.status();
            let detail = problem(&response).map(|problem| problem.detail);
            assert_ne!(status, StatusCode::UNAUTHORIZED, "{} as {role}", route.id);
            assert_ne!(status, StatusCode::FORBIDDEN, "{} as {role}", route.id);
            assert_ne!(status, StatusCode::METHOD_NOT_ALLOWED, "{}", route.id);
            assert_ne!(
                status,
                StatusCode::INTERNAL_SERVER_ERROR,
                "{} {detail:?}",
                route.id
            );
            assert_ne!(
                detail.as_deref(),
                Some("there is no such path"),
                "{}",
                route.id
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_route_is_a_problem_too() {
    let world = World::new().await;
    let missing = world
        .raw(Method::GET, "/api/v1/nothing", None, &[], "")
        .await;
    assert_eq!(problem(&missing).unwrap().code, Code::NotFound);
    let secret = world.secret.as_str();
    let wrong = world
        .raw(Method::DELETE, "/api/v1/site", Some(secret), &[], "")
        .await;
    assert_eq!(problem(&wrong).unwrap().code, Code::MethodNotAllowed);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_over_the_routes_limit_or_of_another_type_is_refused() {
    let world = World::new().await;
    let json = [(header::CONTENT_TYPE, "application/json")];
    let large = vec![b' '; (1 << 20) + 1];
    let secret = Some(world.secret.as_str());
    for path in ["/api/v1/devices", "/api/v1/tokens"] {
        let response = world
            .raw(Method::POST, path, secret, &json, large.clone())
            .await;
        assert_eq!(problem(&response).unwrap().code, Code::TooLarge);
        let text = [(header::CONTENT_TYPE, "text/plain")];
        let response = world.raw(Method::POST, path, secret, &text, "{}").await;
        assert_eq!(problem(&response).unwrap().code, Code::UnsupportedMediaType);
        let response = world.raw(Method::POST, path, secret, &json, "{").await;
        assert_eq!(problem(&response).unwrap().code, Code::BadRequest);
    }
}
