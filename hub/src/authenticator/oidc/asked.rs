//! What was asked of the provider and is believed for a while: asked once at a time, and the answer of before goes on while
//! the provider does not answer.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::sync::Mutex;

use super::ProviderError;

/// After a failure nobody asks again for so long: those who wait would wait one after the other.
const PAUSE: Duration = Duration::from_secs(3);

/// The newest answer.
pub(super) struct Asked<T>(Mutex<State<T>>);

struct State<T> {
    answer: Option<(Instant, Arc<T>)>,
    failed: Option<Instant>,
}

impl<T> Default for Asked<T> {
    fn default() -> Self {
        Self(Mutex::new(State { answer: None, failed: None }))
    }
}

impl<T> Asked<T> {
    /// The answer of no longer ago than `fresh`, or a new one.
    pub(super) async fn get(
        &self,
        fresh: Duration,
        ask: impl Future<Output = Result<T, ProviderError>>,
    ) -> Result<Arc<T>, ProviderError> {
        let mut state = self.0.lock().await;
        let before = state.answer.as_ref().map(|(_, answer)| answer.clone());
        let is_fresh = state.answer.as_ref().is_some_and(|(at, _)| at.elapsed() < fresh);
        let rests = state.failed.is_some_and(|at| at.elapsed() < PAUSE);
        match before {
            Some(before) if is_fresh || rests => return Ok(before),
            None if rests => return Err(ProviderError::Unreachable("it did not answer a moment ago".to_owned())),
            _ => {}
        }
        match ask.await {
            Ok(answer) => {
                let answer = Arc::new(answer);
                *state = State { answer: Some((Instant::now(), answer.clone())), failed: None };
                Ok(answer)
            }
            Err(error) => {
                state.failed = Some(Instant::now());
                match &state.answer {
                    Some((_, before)) => {
                        tracing::warn!(error.message = %error, "the login provider did not answer; what it said before goes on");
                        Ok(before.clone())
                    }
                    None => Err(error),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_answer_goes_on_while_the_provider_is_down_and_nobody_asks_at_once_again() {
        let asked = Asked::default();
        let down = || async { Err::<u8, _>(ProviderError::Unreachable("x".into())) };
        assert!(asked.get(Duration::MAX, down()).await.is_err());
        assert!(asked.get(Duration::MAX, async { Ok(1) }).await.is_err(), "it rests");
        let asked = Asked::default();
        assert_eq!(*asked.get(Duration::MAX, async { Ok(1) }).await.unwrap(), 1);
        assert_eq!(*asked.get(Duration::MAX, async { Ok(2) }).await.unwrap(), 1);
        assert_eq!(*asked.get(Duration::ZERO, async { Ok(2) }).await.unwrap(), 2);
        assert_eq!(*asked.get(Duration::ZERO, down()).await.unwrap(), 2);
    }
}
