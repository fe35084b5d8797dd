//! Follows a job on a server by its stream of events, over as many connections as that
//! takes.

use std::time::Duration;

use reqwest::header::{ACCEPT, HeaderValue};
use reqwest::{Method, Response, StatusCode};
use tokio::time::{Instant, sleep, timeout};

use super::client::Client;
use super::events::{EventReader, Received};
use super::failure::Failure;
use super::follow::{Jobs, Listener};
use crate::following::Event;
use crate::job::JobId;

/// How long a server may be silent within a stream: three of its signs of life.
const SILENCE: Duration = Duration::from_secs(45);

/// How long to go on trying to reach a server that was there before: one that is
/// started again, or moved, is back by then.
const AWAY: Duration = Duration::from_secs(60);

/// How long to wait before coming back, unless the server says it.
const RETRY: Duration = Duration::from_secs(1);

/// What was read of a job's story so far.
struct Reading {
    /// The id of the last event.
    seen: String,
    /// How long to wait before coming back.
    retry: Duration,
    /// Whether the end was told.
    over: bool,
    /// When the server was heard last.
    heard: Option<Instant>,
}

/// Why a connection did not bring the story to its end.
enum Broken {
    /// Another one may.
    Lost(Failure),
    /// No other will.
    Failed(Failure),
}

impl From<Failure> for Broken {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl Jobs for Client {
    async fn follow(&self, id: JobId, listener: &mut impl Listener) -> Result<(), Failure> {
        let mut reading = Reading {
            seen: String::new(),
            retry: RETRY,
            over: false,
            heard: None,
        };
        let mut told = None;
        loop {
            let lost = match self.read(id, &mut reading, listener).await {
                Ok(()) if reading.over => return Ok(()),
                Ok(()) => Failure::away("the server ended the stream"),
                Err(Broken::Failed(failure)) => return Err(failure),
                Err(Broken::Lost(failure)) => failure,
            };
            // A server that was never there is more likely named wrongly.
            let Some(heard) = reading.heard else {
                return Err(lost);
            };
            if heard.elapsed() > AWAY {
                return Err(gave_up(id, lost));
            }
            if told != Some(heard) {
                listener.note(&format!(
                    "lost the server while following job {id}; trying again for {} s",
                    AWAY.as_secs()
                ));
                told = Some(heard);
            }
            sleep(reading.retry.mul_f64(0.75 + fastrand::f64() / 2.0)).await;
        }
    }
}

fn gave_up(id: JobId, lost: Failure) -> Failure {
    lost.and(&format!(
        "what becomes of job {id} does not depend on this command: see `skep wait {id}` when the server is back"
    ))
}

impl Client {
    /// Reads as much of a job's story as one connection brings.
    async fn read(
        &self,
        id: JobId,
        reading: &mut Reading,
        listener: &mut impl Listener,
    ) -> Result<(), Broken> {
        let mut response = self.open(id, reading).await?;
        let mut events = EventReader::default();
        loop {
            let chunk = match timeout(SILENCE, response.chunk()).await {
                Ok(Ok(Some(chunk))) => chunk,
                Ok(Ok(None)) => return Ok(()),
                Ok(Err(error)) => return Err(Broken::Lost(self.away(&error))),
                Err(_) => {
                    let text = format!("the server was silent for {} s", SILENCE.as_secs());
                    return Err(Broken::Lost(Failure::away(text)));
                }
            };
            reading.heard = Some(Instant::now());
            let received = events
                .read(&chunk)
                .map_err(|_| odd("an event that is too long"))?;
            reading.retry = events.retry.unwrap_or(reading.retry);
            for Received { name, data, id } in received {
                reading.seen = id;
                let event = Event::read(&name, &data).map_err(odd)?;
                let Some(event) = event else {
                    continue;
                };
                reading.over = matches!(event, Event::Result(_));
                listener.hear(event)?;
                if reading.over {
                    return Ok(());
                }
            }
        }
    }

    async fn open(&self, id: JobId, reading: &Reading) -> Result<Response, Broken> {
        let mut request = self.request(Method::GET, &format!("jobs/{id}/events"))?;
        if !reading.seen.is_empty() {
            let seen = HeaderValue::from_str(&reading.seen).map_err(odd)?;
            request = request.header("last-event-id", seen);
        }
        // Errors come as documents.
        let accepted = HeaderValue::from_static("text/event-stream, application/json");
        let response = request.header(ACCEPT, accepted).send().await;
        let response = response.map_err(|error| Broken::Lost(self.away(&error)))?;
        let status = response.status();
        match self.checked(response).await {
            Ok(response) => Ok(response),
            Err(failure) if status == StatusCode::SERVICE_UNAVAILABLE => Err(Broken::Lost(failure)),
            Err(failure) => Err(Broken::Failed(failure)),
        }
    }
}

fn odd(what: impl std::fmt::Display) -> Broken {
    Broken::Failed(Failure::failed(format!(
        "the server answered something odd: {what}"
    )))
}
