//! The API server's clock, read from the `Date` of its responses. Times that the API server records are compared with it:
//! this machine's clock may differ, and be stepped at any time.
//!
//! It must not be used to measure durations; `Instant` does that.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::http::{HeaderMap, Response, header};
use futures::future::BoxFuture;
use jiff::Timestamp;
use jiff::fmt::rfc2822;
use tokio::time::Instant;
use tower::util::MapFutureLayer;
use tracing::{info, warn};

/// The format of HTTP's dates is a subset of that of mail.
static FORMAT: rfc2822::DateTimeParser = rfc2822::DateTimeParser::new();

/// A response that took longer says too little about the time at which it arrives.
const ROUND_TRIP_MAX: Duration = Duration::from_secs(1);

/// A larger difference between the two clocks is logged.
const DIFFERENCE_MAX: Duration = Duration::from_secs(10);

/// The API server's clock. Clones share their state.
#[derive(Clone, Debug, Default)]
pub struct Clock(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    /// The API server's time, to the second, and when it was received.
    last: Option<(Timestamp, Instant)>,
    /// Whether a large difference to this machine's clock has been logged.
    is_logged: bool,
}

impl Clock {
    /// Returns the API server's time; before its first response, this machine's.
    pub fn now(&self) -> Timestamp {
        let known = self.lock().at(Instant::now());
        known.unwrap_or_else(Timestamp::now)
    }

    /// Returns the clock as a layer of an API client, which reads each response.
    pub fn layer<F, B, E>(
        &self,
    ) -> MapFutureLayer<
        impl Fn(F) -> BoxFuture<'static, Result<Response<B>, E>> + Clone + use<F, B, E>,
    >
    where
        F: Future<Output = Result<Response<B>, E>> + Send + 'static,
    {
        let clock = self.clone();
        MapFutureLayer::new(move |response: F| {
            let clock = clock.clone();
            let sent = Instant::now();
            let response: BoxFuture<'static, _> = Box::pin(async move {
                let response = response.await?;
                clock.read(response.headers(), sent);
                Ok(response)
            });
            response
        })
    }

    fn read(&self, headers: &HeaderMap, sent: Instant) {
        let date = headers
            .get(header::DATE)
            .and_then(|date| date.to_str().ok());
        if let Some(date) = date.and_then(|date| FORMAT.parse_timestamp(date).ok()) {
            let mut state = self.lock();
            state.take(date, sent, Instant::now());
            state.log(Timestamp::now());
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Each change is atomic, so the state stays valid after a panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn at(&self, now: Instant) -> Option<Timestamp> {
        let (date, received) = self.last?;
        date.checked_add(now.duration_since(received)).ok()
    }

    /// Takes over a response's date. One that was late is older than the time at which it arrives, so it only shows that the
    /// clock is not behind it.
    fn take(&mut self, date: Timestamp, sent: Instant, received: Instant) {
        let is_late = received.duration_since(sent) > ROUND_TRIP_MAX;
        let is_news = self.at(received).is_none_or(|known| date > known);
        if is_news || !is_late {
            self.last = Some((date, received));
        }
    }

    /// Logs once that the clocks differ, and once that they no longer do.
    fn log(&mut self, own: Timestamp) {
        let Some(theirs) = self.at(Instant::now()) else {
            return;
        };
        let difference = own.duration_since(theirs);
        // Dates have whole seconds, so the difference varies by one: between the two limits, what was logged holds.
        let limit = if self.is_logged {
            DIFFERENCE_MAX / 2
        } else {
            DIFFERENCE_MAX
        };
        let is_large = difference.unsigned_abs() > limit;
        if is_large != self.is_logged {
            self.is_logged = is_large;
            let seconds = difference.as_secs();
            if is_large {
                warn!(
                    seconds,
                    "this machine's clock is not the API server's; using the API server's"
                );
            } else {
                info!(seconds, "this machine's clock is the API server's again");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::time::Duration;

    use axum::http::{Request, Response, header};
    use jiff::Timestamp;
    use tokio::time::Instant;
    use tower::{Layer, Service, service_fn};

    use super::{Clock, State};

    fn second(number: i64) -> Timestamp {
        Timestamp::from_second(number).unwrap()
    }

    #[tokio::test]
    async fn the_date_of_a_response_is_the_time() {
        let clock = Clock::default();
        let own = clock.now();
        assert!(own.duration_since(Timestamp::now()).as_secs() == 0, "{own}");
        let server = service_fn(async |_: Request<()>| {
            let response =
                Response::builder().header(header::DATE, "Thu, 26 Nov 1970 08:00:00 GMT");
            Ok::<_, Infallible>(response.body(()).unwrap())
        });
        let mut client = clock.layer().layer(server);
        client.call(Request::new(())).await.unwrap();
        let theirs: Timestamp = "1970-11-26T08:00:00Z".parse().unwrap();
        let passed = clock.now().duration_since(theirs).as_secs();
        assert!((0..60).contains(&passed), "{passed}");
    }

    #[tokio::test]
    async fn responses_without_a_date_leave_this_machines_clock() {
        let clock = Clock::default();
        let server = service_fn(async |_: Request<()>| {
            let response = Response::builder().header(header::DATE, "tomorrow");
            Ok::<_, Infallible>(response.body(()).unwrap())
        });
        clock
            .layer()
            .layer(server)
            .call(Request::new(()))
            .await
            .unwrap();
        assert!(clock.now().duration_since(Timestamp::now()).as_secs() == 0);
    }

    #[test]
    fn the_clock_runs_follows_steps_and_ignores_late_dates() {
        let mut state = State::default();
        let begun = Instant::now();
        let at = |seconds| begun + Duration::from_secs(seconds);
        assert_eq!(state.at(begun), None);
        // The first one counts even if it is late.
        state.take(second(1000), at(0), at(20));
        assert_eq!(state.at(at(25)), Some(second(1005)));
        // Sent long before it arrived, as by an API server that was frozen.
        state.take(second(1006), at(26), at(90));
        assert_eq!(state.at(at(90)), Some(second(1070)));
        // A late one that is ahead.
        state.take(second(1100), at(90), at(95));
        assert_eq!(state.at(at(95)), Some(second(1100)));
        // The server's clock is stepped back.
        state.take(second(500), at(96), at(96));
        assert_eq!(state.at(at(97)), Some(second(501)));
    }
}
