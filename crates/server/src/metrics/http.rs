//! The port that metrics are served on: three pages over HTTP/1.1.
//!
//! It belongs to operators, so it is off unless configured, listens on this machine alone unless told otherwise, and serves a handful
//! of connections at a time.

use std::cell::Cell;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::atomic::Ordering;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use prometheus_client::registry::Registry;
use russet_config::{Config, id};
use russet_dispatch::State;
use russet_dispatch::state::rule;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::{REQUEST_TIME_MAX, registry, text};
use crate::listener;

/// Connections served at a time.
const CONNECTIONS_MAX: usize = 16;

/// Bytes of a request's head.
const HEAD_BYTES_MAX: usize = 16 * 1024;

/// The type of OpenMetrics.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

const PLAIN: &str = "text/plain; charset=utf-8";

type Page = Response<Full<Bytes>>;

/// Listens where the configuration says; nowhere if the port is 0.
pub(crate) fn bind(config: &Config) -> io::Result<Vec<std::net::TcpListener>> {
    let port = config.integer(const { id("metrics-port") }) as u16;
    let mut bound = Vec::new();
    for address in config.metrics_addresses().iter().filter(|_| port != 0) {
        let bare = address.strip_prefix('-').unwrap_or(address);
        match listener::bind(bare, port, BACKLOG) {
            Ok(listeners) => bound.extend(listeners),
            Err(error) if bare != address && listener::is_missing(&error) => {}
            Err(error) => {
                tracing::warn!(%error, address = bare, port, "could not listen for metrics");
                return Err(error);
            }
        }
    }
    Ok(bound)
}

/// Connections that the kernel queues.
const BACKLOG: i32 = 16;

/// What everybody shares who serves these pages.
struct Shared {
    state: &'static State,
    registry: Registry,
    connections: Cell<usize>,
}

/// The open sockets.
pub(crate) struct Door {
    shared: Rc<Shared>,
    tasks: Vec<(SocketAddr, JoinHandle<()>)>,
}

impl Door {
    /// Opens nothing yet.
    pub(crate) fn new(state: &'static State) -> Self {
        let shared = Shared { state, registry: registry(state), connections: Cell::new(0) };
        Self { shared: Rc::new(shared), tasks: Vec::new() }
    }

    /// Serves what comes through a socket that is bound.
    pub(crate) fn open(&mut self, listener: std::net::TcpListener) -> io::Result<()> {
        let address = listener.local_addr()?;
        let listener = TcpListener::from_std(listener)?;
        let task = tokio::task::spawn_local(accept(Rc::clone(&self.shared), listener));
        self.tasks.push((address, task));
        Ok(())
    }

    /// Listens where `config` says, and nowhere else; if that fails, nowhere.
    pub(crate) async fn exchange(&mut self, config: &Config) -> io::Result<()> {
        for (_, task) in self.tasks.drain(..) {
            task.abort();
            // The socket is closed when the task is gone; that it was cut short is what was asked.
            drop(task.await);
        }
        bind(config)?.into_iter().try_for_each(|listener| self.open(listener))
    }
}

async fn accept(shared: Rc<Shared>, listener: TcpListener) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) if shared.connections.get() < CONNECTIONS_MAX => {
                shared.connections.set(shared.connections.get() + 1);
                tokio::task::spawn_local(serve(Rc::clone(&shared), stream));
            }
            Ok(_) => {}
            // Out of descriptors as a rule: those who wait will still be there.
            Err(_) => tokio::time::sleep(REST).await,
        }
    }
}

/// How long accepting rests after an error.
const REST: std::time::Duration = std::time::Duration::from_millis(100);

async fn serve(shared: Rc<Shared>, stream: TcpStream) {
    let service = service_fn(|request: Request<Incoming>| {
        let page = answer(&shared, request.method(), request.uri().path());
        async move { Ok::<_, Infallible>(page) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(REQUEST_TIME_MAX)
        .max_buf_size(HEAD_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = connection.await {
        tracing::debug!(%error, "a reader of metrics went away");
    }
    shared.connections.set(shared.connections.get() - 1);
}

fn answer(shared: &Shared, method: &Method, path: &str) -> Page {
    if method != Method::GET && method != Method::HEAD {
        let mut page = page(StatusCode::METHOD_NOT_ALLOWED, PLAIN, "GET and HEAD only\n");
        page.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return page;
    }
    match path {
        "/metrics" => metrics(shared),
        "/healthz" => page(StatusCode::OK, PLAIN, "ok\n"),
        "/readyz" => readiness(shared.state),
        _ => page(StatusCode::NOT_FOUND, PLAIN, "/metrics, /healthz and /readyz are here\n"),
    }
}

fn metrics(shared: &Shared) -> Page {
    match text(&shared.registry) {
        Ok(text) => page(StatusCode::OK, OPEN_METRICS, text),
        Err(_) => page(StatusCode::INTERNAL_SERVER_ERROR, PLAIN, "metrics could not be written\n"),
    }
}

/// Whether clients would be served now.
fn readiness(state: &State) -> Page {
    if state.rules.load(Ordering::Relaxed) & rule::LOADING != 0 {
        return page(StatusCode::SERVICE_UNAVAILABLE, PLAIN, "loading\n");
    }
    page(StatusCode::OK, PLAIN, "ready\n")
}

fn page(status: StatusCode, kind: &'static str, text: impl Into<Bytes>) -> Page {
    let mut page = Response::new(Full::new(text.into()));
    *page.status_mut() = status;
    page.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    page
}
