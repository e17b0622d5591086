//! The door of a hub that has not opened yet: it listens from the start, and lets requests wait until the hub is there.
//!
//! A hub on PostgreSQL starts beside the one that it will replace. It counts as ready once it waits for nothing but that
//! one's end; so requests that come meanwhile, of which there are some until every node has heard of the change, are answered
//! by the hub that takes over instead of being refused. A hub that goes on is none that this one replaces: two Hubs may have
//! been given one database. Then this one is not ready, and refuses requests.

use axum::{
    Router,
    extract::{Request, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use std::time::Duration;
use tokio::{
    sync::watch,
    time::{Instant, timeout},
};
use tower::ServiceExt;

/// How long the end of another hub may take, and a request may wait for it.
const PATIENCE: Duration = Duration::from_secs(30);

/// How far the hub behind the door is.
#[derive(Clone)]
enum Stage {
    /// It isn't ready.
    Starting,
    /// Nothing is missing but the end of another hub, since then.
    Waiting(Instant),
    Open(Router),
}

/// Lets requests in once the hub is there.
pub struct Door {
    health: String,
    patience: Duration,
    stage: watch::Sender<Stage>,
}

#[derive(Clone)]
struct Visitors {
    health: String,
    patience: Duration,
    stage: watch::Receiver<Stage>,
}

impl Door {
    /// `health` is the path at which the hub is asked whether it is ready.
    pub fn new(health: String) -> Self {
        Self { health, patience: PATIENCE, stage: watch::Sender::new(Stage::Starting) }
    }

    /// What is served at the door.
    pub fn router(&self) -> Router {
        let visitors = Visitors { health: self.health.clone(), patience: self.patience, stage: self.stage.subscribe() };
        Router::new().fallback(visit).with_state(visitors)
    }

    /// The hub only waits for another one's end.
    pub fn wait(&self) {
        self.stage.send_replace(Stage::Waiting(Instant::now()));
    }

    /// From now on the hub answers.
    pub fn open(&self, hub: Router) {
        self.stage.send_replace(Stage::Open(hub));
    }
}

async fn visit(State(mut visitors): State<Visitors>, request: Request) -> Response {
    let is_health = request.uri().path() == visitors.health;
    // A probe gives up before it is told that the hub starts; people who come meanwhile are answered in the end.
    let wanted = |stage: &Stage| match stage {
        Stage::Open(_) => true,
        Stage::Waiting(_) => is_health,
        Stage::Starting => false,
    };
    let stage = match timeout(visitors.patience, visitors.stage.wait_for(wanted)).await {
        Ok(Ok(stage)) => stage.clone(),
        _ => Stage::Starting,
    };
    match stage {
        Stage::Open(hub) => hub.oneshot(request).await.unwrap_or_else(|never| match never {}),
        Stage::Waiting(since) if since.elapsed() < visitors.patience => StatusCode::OK.into_response(),
        Stage::Waiting(_) | Stage::Starting => {
            (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, "5")]).into_response()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::{body::Body, routing::get};

    async fn ask(door: &Door, path: &str) -> StatusCode {
        let request = Request::builder().uri(path).body(Body::empty()).unwrap();
        door.router().oneshot(request).await.unwrap().status()
    }

    #[tokio::test]
    async fn requests_wait_until_the_hub_is_there_and_its_readiness_is_told() {
        let door = Door::new("/hub/health".to_owned());
        let probe = tokio::time::timeout(Duration::from_millis(50), ask(&door, "/hub/health"));
        assert!(probe.await.is_err(), "it is not ready");
        door.wait();
        assert_eq!(ask(&door, "/hub/health").await, StatusCode::OK);
        let waiting = door.router();
        let request = Request::builder().uri("/hub/home").body(Body::empty()).unwrap();
        let mut answer = tokio::spawn(waiting.oneshot(request));
        assert!(tokio::time::timeout(Duration::from_millis(50), &mut answer).await.is_err(), "it waits");
        door.open(Router::new().route("/hub/home", get(|| async { StatusCode::IM_A_TEAPOT })));
        assert_eq!(answer.await.unwrap().unwrap().status(), StatusCode::IM_A_TEAPOT);
        assert_eq!(ask(&door, "/hub/health").await, StatusCode::NOT_FOUND);
    }

    #[tokio::test]
    async fn a_hub_that_goes_on_is_not_waited_for_for_ever() {
        let door = Door { patience: Duration::from_millis(30), ..Door::new("/hub/health".to_owned()) };
        door.wait();
        assert_eq!(ask(&door, "/hub/home").await, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(ask(&door, "/hub/health").await, StatusCode::SERVICE_UNAVAILABLE);
    }
}
