//! Encryption: rustls with ring, so that no library and no key store of the system is needed.
//!
//! What is verified is what `sslmode` says: nothing (`prefer`, `require`), that the certificate comes from one of the roots
//! (`verify-ca`), or also that it is this host's (`verify-full`). The roots are those of the web, or those of `sslrootcert`.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use honker_core::{Error, Result};
use ring::digest;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::Socket;
use tokio_postgres::tls::{ChannelBinding, MakeTlsConnect, TlsConnect};
use tokio_rustls::TlsConnector;

/// What has to be true of a server's certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verify {
    Nothing,
    /// Somebody whom we trust has signed it.
    Certificate,
    /// And it is that of the host that we mean.
    Name,
}

/// How connections are encrypted, if the server can.
#[derive(Clone)]
pub(crate) struct Tls {
    config: Option<Arc<ClientConfig>>,
    verify: Verify,
    roots: Option<String>,
}

impl PartialEq for Tls {
    fn eq(&self, other: &Self) -> bool {
        let parts = |tls: &Tls| (tls.config.is_some(), tls.verify, tls.roots.clone());
        parts(self) == parts(other)
    }
}

impl Tls {
    /// For connections that are not encrypted.
    pub(crate) fn none() -> Self {
        Tls { config: None, verify: Verify::Nothing, roots: None }
    }

    pub(crate) fn new(verify: Verify, roots: Option<&str>) -> Result<Self> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let (inner, own) = match verify {
            Verify::Nothing => (None, Vec::new()),
            Verify::Certificate | Verify::Name => {
                let (store, own) = read_roots(roots)?;
                let verifier =
                    WebPkiServerVerifier::builder_with_provider(Arc::new(store), Arc::clone(&provider))
                        .build();
                (Some(verifier.map_err(|error| Error::invalid(format!("sslrootcert: {error}")))?), own)
            }
        };
        let verifier =
            Verifier { inner, own, by_name: verify == Verify::Name, provider: Arc::clone(&provider) };
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| Error::invalid(format!("TLS cannot be used: {error}")))?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_no_client_auth();
        // What servers want to hear that are spoken to in TLS from the first byte on.
        config.alpn_protocols = vec![b"postgresql".to_vec()];
        Ok(Tls { config: Some(Arc::new(config)), verify, roots: roots.map(str::to_owned) })
    }
}

/// Whom we trust, and the certificates that a file has for that.
fn read_roots(path: Option<&str>) -> Result<(RootCertStore, Vec<CertificateDer<'static>>)> {
    let (mut store, mut own) = (RootCertStore::empty(), Vec::new());
    match path {
        // `system` is libpq's word for what everybody trusts.
        None | Some("system") => store.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
        Some(path) => {
            let wrong = |error: &dyn std::fmt::Display| {
                Error::invalid(format!("sslrootcert: the file of root certificates cannot be read: {error}"))
            };
            for certificate in CertificateDer::pem_file_iter(path).map_err(|error| wrong(&error))? {
                let certificate = certificate.map_err(|error| wrong(&error))?;
                store.add(certificate.clone()).map_err(|error| wrong(&error))?;
                own.push(certificate);
            }
            if store.is_empty() {
                return Err(wrong(&"there is no certificate in it"));
            }
        }
    }
    Ok((store, own))
}

/// Verifies as much as is wanted.
#[derive(Debug)]
struct Verifier {
    inner: Option<Arc<WebPkiServerVerifier>>,
    /// The certificates of the file. A server may have one of them itself, which it has signed itself.
    own: Vec<CertificateDer<'static>>,
    by_name: bool,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> std::result::Result<ServerCertVerified, rustls::Error> {
        let Some(inner) = &self.inner else { return Ok(ServerCertVerified::assertion()) };
        // Who signs says that it may: as such it would be refused for a server.
        if self.own.iter().any(|own| own == end_entity) {
            if self.by_name {
                verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
            }
            return Ok(ServerCertVerified::assertion());
        }
        match inner.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now) {
            // The name is looked at last.
            Err(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) if !self.by_name => Ok(ServerCertVerified::assertion()),
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        if self.inner.is_none() {
            // Of whom it is nobody asks; and it may be of a form that only others read, such as version 1.
            return Ok(HandshakeSignatureValid::assertion());
        }
        verify_tls12_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> std::result::Result<HandshakeSignatureValid, rustls::Error> {
        if self.inner.is_none() {
            // Of whom it is nobody asks; and it may be of a form that only others read, such as version 1.
            return Ok(HandshakeSignatureValid::assertion());
        }
        verify_tls13_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

impl MakeTlsConnect<Socket> for Tls {
    type Stream = TlsStream;
    type TlsConnect = Connect;
    type Error = io::Error;

    fn make_tls_connect(&mut self, domain: &str) -> io::Result<Connect> {
        Ok(Connect { config: self.config.clone(), domain: domain.to_owned() })
    }
}

/// Encrypts one connection.
pub(crate) struct Connect {
    config: Option<Arc<ClientConfig>>,
    domain: String,
}

impl TlsConnect<Socket> for Connect {
    type Stream = TlsStream;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<TlsStream>> + Send>>;

    fn connect(self, stream: Socket) -> Self::Future {
        Box::pin(async move {
            let config = self
                .config
                .ok_or_else(|| io::Error::other("the server wants TLS, and sslmode is disable"))?;
            // An address that is no name, and no number, names nobody.
            let name = ServerName::try_from(self.domain)
                .map_err(|_| io::Error::other("the host has no name that a certificate could have"))?;
            Ok(TlsStream(Box::new(TlsConnector::from(config).connect(name, stream).await?)))
        })
    }
}

/// An encrypted connection.
pub(crate) struct TlsStream(Box<tokio_rustls::client::TlsStream<Socket>>);

impl tokio_postgres::tls::TlsStream for TlsStream {
    fn channel_binding(&self) -> ChannelBinding {
        let certificates = self.0.get_ref().1.peer_certificates();
        let hash = certificates.and_then(|all| {
            let certificate = all.first()?;
            Some(digest::digest(signed_with(certificate)?, certificate))
        });
        hash.map_or_else(ChannelBinding::none, |hash| {
            ChannelBinding::tls_server_end_point(hash.as_ref().to_vec())
        })
    }
}

/// The hash that a certificate is signed with, or SHA-256 for those that nobody relies on any more: by its hash of this kind a
/// password's exchange is bound to it (RFC 5929). `None` if it has none, or says in another way which it is.
fn signed_with(certificate: &[u8]) -> Option<&'static digest::Algorithm> {
    let (inside, _) = element(certificate)?;
    let (_, behind) = element(inside)?;
    let (algorithm, _) = element(behind)?;
    let (name, _) = element(algorithm)?;
    match name {
        // RSA (PKCS #1) with MD5, SHA-1, SHA-256, -384 and -512.
        [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x04 | 0x05 | 0x0b] => Some(&digest::SHA256),
        [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0c] => Some(&digest::SHA384),
        [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0d] => Some(&digest::SHA512),
        // ECDSA with the same.
        [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x01] | [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02] => {
            Some(&digest::SHA256)
        }
        [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x03] => Some(&digest::SHA384),
        [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x04] => Some(&digest::SHA512),
        _ => None,
    }
}

/// What is in the first element of an encoding (DER), and what is behind it.
fn element(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = match bytes.get(1..)? {
        [short @ 0..0x80, rest @ ..] => (usize::from(*short), rest),
        [long, rest @ ..] => {
            let (digits, rest) = rest.split_at_checked(usize::from(long & 0x7f))?;
            let length = digits
                .iter()
                .try_fold(0_usize, |sum, digit| sum.checked_mul(256)?.checked_add(usize::from(*digit)))?;
            (length, rest)
        }
        [] => return None,
    };
    rest.split_at_checked(length)
}

impl AsyncRead for TlsStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for TlsStream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
