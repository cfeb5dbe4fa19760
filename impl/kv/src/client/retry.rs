//! The retries of a request: the choice of the server, the pauses between attempts, and the end of
//! the attempts.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{HOST, HeaderName, HeaderValue, LOCATION, RETRY_AFTER};
use hyper::{Method, Request, StatusCode};

use super::connection::{Connection, Lost, Reply};
use super::{Address, Client, Error};
use crate::api::{Failure, Outcome};

/// The first pause, after every server was asked once. Each further pause is twice as long, up to
/// [`LONGEST_PAUSE`].
const SHORTEST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_millis(200);

/// The minimum time for the last attempt.
const LAST_ATTEMPT: Duration = Duration::from_millis(50);

/// The number of redirections that are followed without a pause. Servers may redirect to each other
/// in a circle.
const REDIRECTIONS: u32 = 4;

/// A request that may have to be sent more than once.
#[derive(Debug)]
pub(super) struct Ask {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) headers: Vec<(HeaderName, HeaderValue)>,
    pub(super) body: Bytes,
    /// Whether the request can change the state in a way that matters to clients.
    pub(super) writes: bool,
    /// Whether the request may be sent again after an attempt with an unknown outcome.
    pub(super) repeatable: bool,
}

impl Ask {
    pub(super) fn read(method: Method, path: String) -> Ask {
        let (headers, body) = (Vec::new(), Bytes::new());
        Ask { method, path, headers, body, writes: false, repeatable: true }
    }
}

/// The final answer to a request, which can be a failure.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) server: Address,
    pub(super) reply: Reply,
    /// Whether the request can change the state, as in [`Ask::writes`].
    pub(super) writes: bool,
    /// Whether an earlier attempt may have been done.
    pub(super) doubt: bool,
}

impl Answer {
    pub(super) fn failure(&self) -> Option<Failure> {
        serde_json::from_slice(&self.reply.body).ok()
    }
}

/// The next step after an attempt.
enum Next {
    Settled(Reply),
    At(Address),
    Again {
        reason: String,
        /// The pause that the server asked for.
        pause: Option<Duration>,
        /// Whether the attempt may have been done.
        doubt: bool,
    },
}

/// The attempts for a request so far.
struct Effort {
    started: Instant,
    /// The time by which there must be an answer, or `None` if there is only one attempt.
    end: Option<Instant>,
    attempts: usize,
    redirections: u32,
    pause: Duration,
    doubt: bool,
}

impl Client {
    /// Sends a request until there is a final answer or time runs out.
    pub(super) async fn ask(&mut self, ask: &Ask) -> Result<Answer, Error> {
        let started = Instant::now();
        let deadline = self.options.deadline;
        let mut effort = Effort {
            started,
            end: (!deadline.is_zero()).then(|| started + deadline),
            attempts: 0,
            redirections: 0,
            pause: SHORTEST_PAUSE,
            doubt: false,
        };
        loop {
            let server = self.target.clone();
            let attempt_end = Instant::now() + self.options.request_timeout;
            let attempt_end = effort.end.map_or(attempt_end, |end| attempt_end.min(end));
            let next = match self.attempt(ask, attempt_end).await {
                Ok(reply) => judge(&server, reply)?,
                Err(Lost::NotTls) => return Err(Error::NotTls(server)),
                Err(Lost::NotSent(reason)) => Next::Again { reason, pause: None, doubt: false },
                Err(Lost::Sent(reason)) => Next::Again { reason, pause: None, doubt: true },
            };
            effort.attempts += 1;
            match next {
                Next::Settled(reply) => {
                    let (writes, doubt) = (ask.writes, effort.doubt);
                    return Ok(Answer { server, reply, writes, doubt });
                }
                Next::At(leader) => self.follow(&server, leader, &mut effort).await?,
                Next::Again { reason, doubt: true, .. } if !ask.repeatable => {
                    return Err(Error::Unknown { reason });
                }
                Next::Again { reason, pause, doubt } => {
                    effort.doubt |= doubt && ask.writes;
                    self.turn_away();
                    let everybody = effort.attempts.is_multiple_of(self.servers.len());
                    let pause = match pause {
                        Some(pause) => pause.max(effort.next_pause()),
                        None if everybody => effort.next_pause(),
                        None => Duration::ZERO,
                    };
                    effort.wait(pause, reason).await?;
                }
            }
        }
    }

    /// Follows a redirection to the leader. Fails if it leads from TLS to a server without TLS.
    async fn follow(
        &mut self,
        from: &Address,
        leader: Address,
        effort: &mut Effort,
    ) -> Result<(), Error> {
        if from.is_secure() && !leader.is_secure() {
            let reason = format!("it redirects from TLS to {leader}");
            return Err(Error::Protocol { server: from.clone(), reason });
        }
        self.target = leader;
        effort.redirections += 1;
        if effort.redirections <= REDIRECTIONS {
            return Ok(());
        }
        let reason = format!("{from}: it points at {}, and so on", self.target);
        let pause = effort.next_pause();
        effort.wait(pause, reason).await
    }

    /// Makes the next server in the list the one to ask.
    fn turn_away(&mut self) {
        let place = self.servers.iter().position(|server| *server == self.target);
        let next = place.map_or(0, |place| (place + 1) % self.servers.len());
        self.target = self.servers[next].clone();
    }

    /// Sends a request once, and waits for the answer, at the latest until `end`. If the server has
    /// closed an idle connection, that does not count as an attempt.
    async fn attempt(&mut self, ask: &Ask, end: Instant) -> Result<Reply, Lost> {
        // The connection is taken out, so that no later request uses a connection with an
        // outstanding answer.
        let kept = self.connection.take();
        let kept = kept.filter(|kept| kept.server == self.target && kept.is_usable());
        if let Some(mut kept) = kept {
            match kept.exchange(self.request(ask)?, end).await {
                Ok(reply) => return Ok(self.keep(kept, reply)),
                Err(Lost::Sent(reason)) => return Err(Lost::Sent(reason)),
                Err(Lost::NotSent(_) | Lost::NotTls) => {}
            }
        }
        let tls = self.options.tls.as_ref();
        let mut fresh = Connection::open(&self.target, tls, end).await?;
        let reply = fresh.exchange(self.request(ask)?, end).await?;
        Ok(self.keep(fresh, reply))
    }

    fn keep(&mut self, connection: Connection, reply: Reply) -> Reply {
        self.connection = Some(connection);
        reply
    }

    fn request(&self, ask: &Ask) -> Result<Request<Full<bytes::Bytes>>, Lost> {
        let mut request = Request::new(Full::new(ask.body.clone()));
        *request.method_mut() = ask.method.clone();
        let impossible = |what: &str| Lost::NotSent(format!("{}: a bad {what}", self.target));
        *request.uri_mut() = ask.path.parse().map_err(|_| impossible("path"))?;
        let host = HeaderValue::try_from(self.target.authority());
        request.headers_mut().insert(HOST, host.map_err(|_| impossible("host"))?);
        for (name, value) in &ask.headers {
            request.headers_mut().insert(name, value.clone());
        }
        Ok(request)
    }
}

/// Decides the next step after an answer.
fn judge(server: &Address, reply: Reply) -> Result<Next, Error> {
    let text = |name| reply.headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    match reply.status {
        StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT => {
            let odd = |reason| Error::Protocol { server: server.clone(), reason };
            let location = text(LOCATION).ok_or_else(|| odd("it redirects nowhere".to_owned()))?;
            Ok(Next::At(Address::of_location(location).map_err(|error| odd(error.to_string()))?))
        }
        status if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => {
            let pause = text(RETRY_AFTER).and_then(|seconds| seconds.trim().parse().ok());
            let pause = pause.map(Duration::from_secs);
            let failure = serde_json::from_slice::<Failure>(&reply.body).ok();
            // An answer without a `Failure` may come from a proxy, so the outcome is unknown.
            let doubt = failure.as_ref().is_none_or(|said| said.outcome == Outcome::Unknown);
            let busy = [StatusCode::SERVICE_UNAVAILABLE, StatusCode::TOO_MANY_REQUESTS];
            if !doubt && !busy.contains(&status) {
                return Ok(Next::Settled(reply));
            }
            let said = failure.map_or_else(|| status.to_string(), |failure| failure.message);
            Ok(Next::Again { reason: format!("{server}: {said}"), pause, doubt })
        }
        _ => Ok(Next::Settled(reply)),
    }
}

impl Effort {
    /// Returns the next pause. The pause after it is twice as long.
    fn next_pause(&mut self) -> Duration {
        let pause = self.pause;
        self.pause = (pause * 2).min(LONGEST_PAUSE);
        pause
    }

    /// Waits for the pause, but leaves enough time for a last attempt. Fails when the time is over,
    /// and not earlier.
    async fn wait(&self, pause: Duration, reason: String) -> Result<(), Error> {
        let left =
            self.end.map_or(Duration::ZERO, |end| end.saturating_duration_since(Instant::now()));
        let pause = if pause < left { pause } else { left.saturating_sub(LAST_ATTEMPT) };
        if pause < left && (!pause.is_zero() || left > LAST_ATTEMPT) {
            if !pause.is_zero() {
                tokio::time::sleep(pause).await;
            }
            return Ok(());
        }
        tokio::time::sleep(left).await;
        let waited = self.started.elapsed();
        Err(if self.doubt {
            Error::Unknown { reason }
        } else {
            Error::Unavailable { waited, reason }
        })
    }
}
