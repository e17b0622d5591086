//! What the command line takes, and what it refuses.

use super::*;
use crate::config::Redirect;
use crate::connect::TargetTls;
use crate::tls::{ClientCertificates, TlsFiles, TlsVersion};

fn config(arguments: &[&str]) -> Result<ProxyConfig, clap::Error> {
    let cli = Cli::try_parse_from([&["hub-proxy"], arguments].concat())?;
    cli.into_config(Instant::now())
}

#[test]
fn the_command_line_is_well_formed() {
    Cli::command().debug_assert();
}

#[test]
fn defaults_are_the_originals() {
    let config = config(&[]).unwrap();
    assert_eq!(config.public, Bind::Tcp(String::new(), 8000));
    assert_eq!(config.api, Some(Bind::Tcp("localhost".to_owned(), 8001)));
    assert_eq!((config.metrics, config.keep_alive_timeout), (None, Duration::from_secs(5)));
    assert!(config.x_forward && config.prepend_path && config.include_prefix);
}

#[test]
fn options_reach_the_configuration() {
    let config = config(&[
        "--ip=*",
        "--port=8000",
        "--port=80",
        "--api-ip=0.0.0.0",
        "--no-x-forward",
        "--no-include-prefix",
        "--custom-header",
        "K2:v1",
        "--custom-header",
        "k1:v1",
        "--custom-header",
        " k2 : v2:x ",
        "--proxy-timeout",
        "100",
        "--log-level",
        "INFO",
    ])
    .unwrap();
    assert_eq!(config.public, Bind::Tcp(String::new(), 80));
    assert_eq!(config.api, Some(Bind::Tcp("0.0.0.0".to_owned(), 81)));
    assert!(!config.x_forward && !config.include_prefix);
    let header = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(config.custom_headers, [header("k1", "v1"), header("k2", "v2:x")]);
    assert_eq!(config.proxy_timeout, Some(Duration::from_millis(100)));
}

#[test]
fn unsupported_options_are_refused_by_name() {
    for arguments in [
        ["--ssl-protocol", "TLSv1_method"],
        ["--ssl-ciphers", "RC4-SHA"],
        ["--ssl-dhparam", "f"],
        ["--storage-backend", "x"],
    ] {
        let message = config(&arguments).unwrap_err().to_string();
        assert!(message.contains(arguments[0]), "{message}");
    }
    let message = config(&["--ssl-allow-rc4"]).unwrap_err().to_string();
    assert!(message.contains("--ssl-allow-rc4"), "{message}");
}

/// As JupyterHub gives them with `internal_ssl`.
#[test]
fn tls_of_api_and_targets_reaches_the_configuration() {
    let flags = ["--api-ssl-key=k", "--api-ssl-cert=c", "--api-ssl-ca=a", "--api-ssl-request-cert"];
    let more = ["--api-ssl-reject-unauthorized", "--client-ssl-key=K", "--client-ssl-cert=C", "--client-ssl-ca=A"];
    let rest = ["--client-ssl-request-cert", "--client-ssl-reject-unauthorized", "--insecure"];
    let config = config(&[&flags[..], &more, &rest].concat()).unwrap();
    let api = config.api_tls.unwrap();
    assert_eq!(api.files, TlsFiles { certificate: "c".into(), key: Some("k".into()) });
    assert_eq!(api.client_certificates, Some(ClientCertificates { authorities: "a".into(), required: true }));
    let certificate = Some(TlsFiles { certificate: "C".into(), key: Some("K".into()) });
    assert_eq!(config.target_tls, TargetTls { authorities: Some("A".into()), certificate, insecure: true });
}

#[test]
fn contradictions_and_bad_values_are_refused() {
    for arguments in [
        vec!["--error-target", "http://a", "--error-path", "/b"],
        vec!["--socket", "/a", "--port", "80"],
        vec!["--custom-header", "no colon"],
        vec!["--custom-header", "Content-Length: 5"],
        vec!["--custom-header", "a: b\r\nc"],
        vec!["--api-ssl-key", "k"],
        vec!["--api-ssl-cert", "c", "--api-socket", "/a"],
        vec!["--client-ssl-key", "k"],
        vec!["--port", "x"],
        vec!["--no-such-option"],
    ] {
        assert!(config(&arguments).is_err(), "{arguments:?}");
    }
}

#[test]
fn tls_reaches_the_configuration() {
    let config = config(&[
        "--ssl-key=k",
        "--ssl-cert=c",
        "--ssl-sni-dir=d",
        "--ssl-min-version=1.3",
        "--ssl-ca=a",
        "--ssl-request-cert",
        "--redirect-port=80",
        "--redirect-to=443",
        "--hsts=60",
        "--hsts-include-subdomains",
        "--trusted-proxies=10.0.0.0/8, ::1",
    ])
    .unwrap();
    assert_eq!(config.tls, Some(TlsFiles { certificate: "c".into(), key: Some("k".into()) }));
    assert_eq!(config.tls_options.min_version, TlsVersion::Tls13);
    assert_eq!(config.tls_options.sni_directory, Some("d".into()));
    let wanted = ClientCertificates { authorities: "a".into(), required: false };
    assert_eq!(config.tls_options.client_certificates, Some(wanted));
    assert_eq!(config.redirect, Some(Redirect { bind: Bind::Tcp(String::new(), 80), to: Some(443) }));
    assert_eq!(config.hsts.map(|hsts| hsts.to_string()).as_deref(), Some("max-age=60; includeSubDomains"));
    let nets = ["10.0.0.0/8", "::1/128"].map(|net| net.parse().unwrap());
    assert_eq!(config.trusted_proxies, Some(nets.to_vec()));
}

#[test]
fn without_options_there_is_no_tls_and_everybody_is_believed() {
    let config = config(&[]).unwrap();
    assert_eq!((config.tls, config.redirect, config.hsts, config.trusted_proxies), (None, None, None, None));
}

#[test]
fn nobody_at_all_may_be_trusted() {
    assert_eq!(config(&["--trusted-proxies="]).unwrap().trusted_proxies, Some(Vec::new()));
    let message = config(&["--trusted-proxies=10.0.0.0/33"]).unwrap_err().to_string();
    assert!(message.contains("10.0.0.0/33"), "{message}");
}

#[test]
fn an_empty_path_says_to_remove_the_option_s48() {
    for option in ["--ssl-cert", "--ssl-key", "--ssl-ca", "--ssl-sni-dir"] {
        let message = config(&[option, ""]).unwrap_err().to_string();
        assert!(message.contains(option) && message.contains("remove the option"), "{message}");
    }
}

#[test]
fn options_that_need_others_say_so() {
    for arguments in [
        vec!["--ssl-key=k"],
        vec!["--ssl-sni-dir=d"],
        vec!["--hsts=60"],
        vec!["--redirect-to=443"],
        vec!["--ssl-cert=c", "--ssl-ca=a"],
        vec!["--ssl-cert=c", "--ssl-request-cert"],
        vec!["--ssl-cert=c", "--socket=/s"],
        vec!["--ssl-cert=c", "--ssl-protocol=TLSv1_3_method", "--ssl-min-version=1.2"],
        vec!["--ssl-cert=c", "--ssl-min-version=1.3", "--ssl-ciphers=ECDHE-RSA-AES128-GCM-SHA256:x"],
    ] {
        assert!(config(&arguments).is_err(), "{arguments:?}");
    }
    let only_12 = config(&["--ssl-cert=c", "--ssl-protocol=TLSv1_2_method"]).unwrap().tls_options;
    assert_eq!((only_12.min_version, only_12.max_version), (TlsVersion::Tls12, Some(TlsVersion::Tls12)));
    let mismatched = ["--ssl-cert=c", "--ssl-protocol=TLSv1_2_method", "--ssl-ciphers=TLS_AES_128_GCM_SHA256"];
    assert!(config(&mismatched).unwrap_err().to_string().contains("--ssl-ciphers"));
}
