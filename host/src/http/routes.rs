//! The routes, each with the scope that it needs and with what the OpenAPI document says
//! of it. There is no way to add one without: what is not said to be open is shut.

use axum::Router;
use axum::extract::Request;
use axum::handler::Handler;
use axum::middleware::{Next, from_fn};
use axum::routing::{MethodFilter, on};

use super::openapi::Operation;
use super::{App, door};
use crate::access::Scope;

/// A method of a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// GET, and with it HEAD.
    Get,
    /// POST.
    Post,
    /// PUT.
    Put,
    /// DELETE.
    Delete,
}

impl Method {
    /// The method's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Delete => "DELETE",
        }
    }

    fn filter(self) -> MethodFilter {
        match self {
            Self::Get => MethodFilter::GET,
            Self::Post => MethodFilter::POST,
            Self::Put => MethodFilter::PUT,
            Self::Delete => MethodFilter::DELETE,
        }
    }
}

/// Who may use a route, and whether that is noted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// The method.
    pub method: Method,
    /// The path, with `{name}` for what differs.
    pub path: &'static str,
    /// The scope that it needs; without one it is open to everybody.
    pub needs: Option<Scope>,
    /// What the audit log calls it, if it has a place there.
    pub audited: Option<&'static str>,
}

/// Routes on their way to a router.
pub(super) struct Routes {
    pub(super) router: Router<App>,
    pub(super) table: Vec<Route>,
    /// What is said of each of them.
    pub(super) operations: Vec<Describe>,
}

/// Says what a route does.
pub(super) type Describe = fn() -> Operation;

impl Routes {
    /// No routes.
    pub(super) fn new() -> Self {
        Self {
            router: Router::new(),
            table: Vec::new(),
            operations: Vec::new(),
        }
    }

    /// A route that is open to everybody: it must say nothing but that it is there.
    pub(super) fn open<H, T>(self, path: &'static str, handler: H, describe: Describe) -> Self
    where
        H: Handler<T, App>,
        T: 'static,
    {
        let route = Route {
            method: Method::Get,
            path,
            needs: None,
            audited: None,
        };
        self.add(route, handler, describe)
    }

    /// A route.
    pub(super) fn route<H, T>(
        self,
        method: Method,
        path: &'static str,
        scope: Scope,
        handler: H,
        describe: Describe,
    ) -> Self
    where
        H: Handler<T, App>,
        T: 'static,
    {
        let route = Route {
            method,
            path,
            needs: Some(scope),
            audited: None,
        };
        self.add(route, handler, describe)
    }

    /// A route whose use is noted in the audit log, under this name.
    pub(super) fn audited<H, T>(
        self,
        method: Method,
        path: &'static str,
        scope: Scope,
        action: &'static str,
        handler: H,
        describe: Describe,
    ) -> Self
    where
        H: Handler<T, App>,
        T: 'static,
    {
        let route = Route {
            method,
            path,
            needs: Some(scope),
            audited: Some(action),
        };
        self.add(route, handler, describe)
    }

    fn add<H, T>(mut self, route: Route, handler: H, describe: Describe) -> Self
    where
        H: Handler<T, App>,
        T: 'static,
    {
        let enter = move |request: Request, next: Next| door::enter(route, request, next);
        let guarded = on(route.method.filter(), handler).route_layer(from_fn(enter));
        self.router = self.router.route(route.path, guarded);
        self.table.push(route);
        self.operations.push(describe);
        self
    }
}
