//! What happens around every request: a file for each layer.

pub mod headers;
pub mod methods;
pub mod own_host;
pub mod paths;
pub mod request_log;
pub mod url_token;
