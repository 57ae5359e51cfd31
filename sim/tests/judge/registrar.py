#!/usr/bin/env python3
"""A registrar that shares no line with ours: RFC 8995 and RFC 7030 on Python's http.server,
`cryptography` and the `openssl` command. It judges our agent and our MASA.

Prints `{"ready": PORT}`, then one JSON line a request, and serves until it is ended.

 1. a pledge connects with its IDevID; its voucher request is verified (RFC 8995 5.5)
 2. the registrar's request, signed with its cmcRA certificate, goes to the MASA with a TLS
    client certificate (5.5, 5.4)
 3. the voucher goes back as it came (5.6)
 4. EST: cacerts, csrattrs, simpleenroll (RFC 7030)
 5. telemetry is noted (5.7, 5.9.4)
"""

import argparse
import base64
import datetime
import hashlib
import http.client
import http.server
import json
import os
import ssl
import subprocess
import sys
import urllib.parse

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import pkcs7

DER = serialization.Encoding.DER
PEM = serialization.Encoding.PEM
VOUCHER = "application/voucher-cms+json"
LIMIT = 1 << 17


def say(step, **more):
    print(json.dumps({"step": step, **more}), flush=True)


def load_chain(pem):
    """All certificates of a PEM file; `cryptography` has this only from version 39 on."""
    end = b"-----END CERTIFICATE-----"
    return [x509.load_pem_x509_certificate(part + end) for part in pem.split(end)[:-1]]


def name(text):
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)])


def builder(subject, issuer, key):
    now = datetime.datetime.now(datetime.timezone.utc)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=5))
        .not_valid_after(now + datetime.timedelta(days=30))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), False)
    )


def make_domain(folder):
    """A domain CA and a registrar with cmcRA, serverAuth and clientAuth."""
    ca_key = ec.generate_private_key(ec.SECP256R1())
    ca = (
        builder(name("Judge domain CA"), name("Judge domain CA"), ca_key.public_key())
        .add_extension(x509.BasicConstraints(True, 0), True)
        .add_extension(x509.KeyUsage(False, False, False, False, False, True, True, False, False), True)
        .sign(ca_key, hashes.SHA256())
    )
    key = ec.generate_private_key(ec.SECP256R1())
    usages = [x509.ObjectIdentifier("1.3.6.1.5.5.7.3." + last) for last in ("28", "1", "2")]
    registrar = (
        builder(name("Judge registrar"), ca.subject, key.public_key())
        .add_extension(x509.BasicConstraints(False, None), True)
        .add_extension(x509.KeyUsage(True, False, False, False, False, False, False, False, False), True)
        .add_extension(x509.ExtendedKeyUsage(usages), False)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), False)
        .sign(ca_key, hashes.SHA256())
    )
    with open(os.path.join(folder, "domain-ca.pem"), "wb") as file:
        file.write(ca.public_bytes(PEM))
    with open(os.path.join(folder, "registrar.pem"), "wb") as file:
        file.write(registrar.public_bytes(PEM) + ca.public_bytes(PEM))
    with open(os.path.join(folder, "registrar.key"), "wb") as file:
        file.write(
            key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        )
    return ca_key, ca, key, registrar


def idevid_issuer(idevid):
    """The authority key identifier's whole extnValue OCTET STRING (rfc8366bis 6.3)."""
    try:
        aki = idevid.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
        inner = aki.public_bytes()
    except x509.ExtensionNotFound:
        public = idevid.public_key().public_bytes(DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        inner = b"\x30\x16\x80\x14" + hashlib.sha1(public).digest()
    return b"\x04" + bytes([len(inner)]) + inner


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, status, body=b"", kind="text/plain; charset=utf-8"):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def body(self):
        length = int(self.headers.get("Content-Length", "0"))
        if not 0 < length <= LIMIT:
            return b""
        return self.rfile.read(length)

    def peer(self):
        der = self.connection.getpeercert(binary_form=True)
        return x509.load_der_x509_certificate(der) if der else None

    def do_GET(self):
        if self.path == "/.well-known/est/cacerts":
            chain = pkcs7.serialize_certificates([self.server.ca], DER)
            self.answer(200, base64.encodebytes(chain), "application/pkcs7-mime")
        elif self.path == "/.well-known/est/csrattrs":
            self.answer(204)
        else:
            self.answer(404)

    def do_POST(self):
        body = self.body()
        if self.path == "/.well-known/brski/requestvoucher":
            self.request_voucher(body)
        elif self.path == "/.well-known/est/simpleenroll":
            self.enroll(body)
        elif self.path in ("/.well-known/brski/voucher_status", "/.well-known/brski/enrollstatus"):
            peer = self.peer()
            say(
                self.path.rsplit("/", 1)[1],
                status=json.loads(body),
                issuer=peer.issuer.rfc4514_string() if peer else None,
            )
            self.answer(200)
        else:
            self.answer(404)

    def request_voucher(self, pledge_request):
        server = self.server
        idevid = self.peer()
        done = subprocess.run(
            ["openssl", "cms", "-verify", "-inform", "DER", "-binary", "-purpose", "any",
             "-CAfile", server.args.maker_anchors],
            input=pledge_request, capture_output=True, timeout=30,
        )
        if done.returncode != 0 or idevid is None:
            say("pledge refused", error=done.stderr.decode(errors="replace"))
            return self.answer(404, b"the voucher request does not verify")
        content = json.loads(done.stdout)["ietf-voucher-request:voucher"]
        serial = idevid.subject.get_attributes_for_oid(x509.NameOID.SERIAL_NUMBER)[0].value
        ours = base64.b64encode(server.registrar.public_bytes(DER)).decode()
        if content["serial-number"] != serial or content["proximity-registrar-cert"] != ours:
            return self.answer(404, b"not about this device and this registrar")
        request = {
            "ietf-voucher-request:voucher": {
                "assertion": "proximity",
                "created-on": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
                "nonce": content["nonce"],
                "serial-number": serial,
                "idevid-issuer": base64.b64encode(idevid_issuer(idevid)).decode(),
                "prior-signed-voucher-request": base64.b64encode(pledge_request).decode(),
            }
        }
        signed = (
            pkcs7.PKCS7SignatureBuilder()
            .set_data(json.dumps(request).encode())
            .add_signer(server.registrar, server.key, hashes.SHA256())
            .add_certificate(server.ca)
            .sign(DER, [pkcs7.PKCS7Options.Binary, pkcs7.PKCS7Options.NoCapabilities])
        )
        masa = urllib.parse.urlsplit(server.args.masa)
        context = ssl.create_default_context(cafile=server.args.masa_anchors)
        context.load_cert_chain(
            os.path.join(server.args.out, "registrar.pem"), os.path.join(server.args.out, "registrar.key")
        )
        line = http.client.HTTPSConnection(masa.hostname, masa.port, context=context, timeout=30)
        line.request(
            "POST", "/.well-known/brski/requestvoucher", signed, {"Content-Type": VOUCHER, "Accept": VOUCHER}
        )
        answer = line.getresponse()
        voucher = answer.read(LIMIT)
        say("masa", status=answer.status, text=voucher.decode() if answer.status != 200 else "")
        self.answer(answer.status, voucher, answer.getheader("Content-Type", "text/plain"))

    def enroll(self, body):
        csr = x509.load_der_x509_csr(base64.b64decode(body))
        if not csr.is_signature_valid:
            return self.answer(400, b"the request does not verify")
        peer = self.peer()
        serial = peer.subject.get_attributes_for_oid(x509.NameOID.SERIAL_NUMBER)[0]
        certificate = (
            builder(x509.Name([serial]), self.server.ca.subject, csr.public_key())
            .add_extension(x509.BasicConstraints(False, None), True)
            .add_extension(x509.ExtendedKeyUsage([x509.ObjectIdentifier("1.3.6.1.5.5.7.3.2")]), False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self.server.ca.public_key()), False
            )
            .sign(self.server.ca_key, hashes.SHA256())
        )
        say("enrolled", serial=serial.value)
        reply = base64.encodebytes(pkcs7.serialize_certificates([certificate], DER))
        self.answer(200, reply, "application/pkcs7-mime; smime-type=certs-only")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--make-domain", action="store_true", help="make the domain in --out and stop")
    parser.add_argument("--masa")
    parser.add_argument("--masa-anchors")
    parser.add_argument("--maker-anchors")
    parser.add_argument("--out", required=True)
    args = parser.parse_args()
    ca_key_file = os.path.join(args.out, "domain-ca.key")
    if args.make_domain:
        ca_key, *_ = make_domain(args.out)
        with open(ca_key_file, "wb") as file:
            file.write(
                ca_key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
            )
        return 0

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.args = args
    with open(ca_key_file, "rb") as file:
        server.ca_key = serialization.load_pem_private_key(file.read(), None)
    with open(os.path.join(args.out, "registrar.key"), "rb") as file:
        server.key = serialization.load_pem_private_key(file.read(), None)
    with open(os.path.join(args.out, "registrar.pem"), "rb") as file:
        server.registrar, server.ca = load_chain(file.read())
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(os.path.join(args.out, "registrar.pem"), os.path.join(args.out, "registrar.key"))
    # IDevIDs and our own LDevIDs are asked for; either is judged in the handler.
    context.verify_mode = ssl.CERT_OPTIONAL
    context.load_verify_locations(args.maker_anchors)
    context.load_verify_locations(os.path.join(args.out, "domain-ca.pem"))
    server.socket = context.wrap_socket(server.socket, server_side=True)
    print(json.dumps({"ready": server.server_address[1]}), flush=True)
    server.serve_forever()


if __name__ == "__main__":
    sys.exit(main())
