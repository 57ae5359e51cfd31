//! The REST API of `vouchsafe-api`, mounted route by route on its table.
//!
//! 1. [`auth`] reads the bearer token and holds its role against the route's, before the body is read.
//! 2. The handler loads the facts, lets `vouchsafe-fleet` decide, and commits; what it did stands in
//!    the journal under the token's name.
//! 3. The answer is a type of the contract, or a `Problem`.

mod auth;
mod problem;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::handler::Handler;
use axum::middleware;
use axum::routing::{MethodFilter, on};
use vouchsafe_api::route::{Method, Route};

pub(crate) use auth::Caller;

use crate::controller::Controller;

/// All routes.
pub(crate) fn routes(controller: &Controller) -> Router<Controller> {
    let _ = controller;
    Router::new()
}

/// One route of the contract: its handler behind its access rule and its body limit.
fn mount<H, T>(
    router: Router<Controller>,
    controller: &Controller,
    route: &'static Route,
    handler: H,
) -> Router<Controller>
where
    H: Handler<T, Controller>,
    T: 'static,
{
    let method = match route.method {
        Method::Get => MethodFilter::GET,
        Method::Post => MethodFilter::POST,
        Method::Put => MethodFilter::PUT,
        Method::Delete => MethodFilter::DELETE,
    };
    let guard = auth::Guard {
        controller: controller.clone(),
        route,
    };
    let handler = on(method, handler)
        .layer(DefaultBodyLimit::max(route.body_limit))
        .layer(middleware::from_fn_with_state(guard, auth::check));
    router.route(route.path, handler)
}
