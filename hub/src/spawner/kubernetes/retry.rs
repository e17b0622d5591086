//! What to do when the API server does not answer, or asks for patience.

use kube::Error;
use rand::RngExt;
use std::{future::Future, time::Duration};
use tracing::warn;

const FIRST_WAIT: Duration = Duration::from_millis(200);
const LONGEST_WAIT: Duration = Duration::from_secs(10);
/// An API server that throttles is left alone for at least this long.
const THROTTLED_WAIT: Duration = Duration::from_secs(1);

/// Makes a request until it is answered for good, however long that takes: callers set the limit. Waits grow and are
/// jittered, so that the servers that start together do not ask together.
pub(super) async fn persist<T, F>(what: &str, mut request: impl FnMut() -> F) -> Result<T, Error>
where
    F: Future<Output = Result<T, Error>>,
{
    let mut limit = FIRST_WAIT;
    loop {
        let error = match request().await {
            Err(error) if is_passing(&error) => error,
            answer => return answer,
        };
        let least = if has_code(&error, 429) { THROTTLED_WAIT } else { limit / 2 };
        let wait = least + limit.mul_f64(rand::rng().random::<f64>());
        warn!(%error, "failed to {what}, trying again in {} ms", wait.as_millis());
        tokio::time::sleep(wait).await;
        limit = (limit * 2).min(LONGEST_WAIT);
    }
}

/// The request was not refused, it just was not done. A conflict without an object in the way is a quota being counted.
fn is_passing(error: &Error) -> bool {
    match error {
        Error::Api(status) => {
            status.code == 429
                || status.code >= 500
                || (status.code == 409 && status.message.contains("resourcequotas"))
        }
        Error::HyperError(_) | Error::Service(_) => true,
        _ => false,
    }
}

pub(super) fn has_code(error: &Error, code: u16) -> bool {
    matches!(error, Error::Api(status) if status.code == code)
}

#[cfg(test)]
mod tests {
    use super::*;
    use kube::core::Status;
    use std::cell::Cell;

    fn api(code: u16, message: &str) -> Error {
        Error::Api(Box::new(Status { code, message: message.to_owned(), ..Status::default() }))
    }

    #[test]
    fn what_may_pass_is_told_from_what_is_meant() {
        let cases = [
            (429, "", true),
            (500, "", true),
            (503, "", true),
            (409, "Operation cannot be fulfilled on resourcequotas \"q\": the object has been modified", true),
            (409, "pods \"p\" already exists", false),
            (403, "exceeded quota: q", false),
            (422, "", false),
            (404, "", false),
        ];
        for (code, message, passing) in cases {
            assert_eq!(is_passing(&api(code, message)), passing, "{code} {message}");
        }
    }

    #[tokio::test]
    async fn a_request_is_made_until_it_is_answered() {
        let tries = Cell::new(0);
        let answer = persist("try", || {
            tries.set(tries.get() + 1);
            let answer = if tries.get() < 3 { Err(api(503, "")) } else { Ok(tries.get()) };
            std::future::ready(answer)
        });
        assert_eq!(answer.await.unwrap(), 3);
        let refused = persist("try", || std::future::ready(Err::<(), _>(api(403, "no"))));
        assert!(has_code(&refused.await.unwrap_err(), 403));
    }
}
