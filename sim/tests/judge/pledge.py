#!/usr/bin/env python3
"""A pledge that shares no line with ours: RFC 8995 and RFC 7030 on Python's ssl, `cryptography`
and the `openssl` command. It exits 0 only when it is enrolled, and prints one JSON line a step.

 1. provisional TLS on one connection, IDevID as client certificate (RFC 8995 5.1)
 2. voucher request, signed CMS (5.2)
 3. voucher: signature, serial, nonce, pin (5.6.1), then the server chain again (5.6.2)
 4. voucher_status (5.7)
 5. cacerts, csrattrs, simpleenroll (5.9, RFC 7030 4.1, 4.2, 4.5)
 6. enrollstatus on a new connection, with the LDevID (5.9.4)
"""

import argparse
import base64
import datetime
import http.client
import json
import os
import ssl
import subprocess
import sys
import tempfile

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import pkcs7

BRSKI = "/.well-known/brski/"
EST = "/.well-known/est/"
VOUCHER = "application/voucher-cms+json"


def say(step, **more):
    print(json.dumps({"step": step, **more}), flush=True)


def openssl(*args, data=None):
    done = subprocess.run(["openssl", *args], input=data, capture_output=True, timeout=30)
    if done.returncode != 0:
        raise SystemExit("openssl %s: %s" % (args[0], done.stderr.decode(errors="replace")))
    return done.stdout


def load_chain(pem):
    """All certificates of a PEM file; `cryptography` has this only from version 39 on."""
    end = b"-----END CERTIFICATE-----"
    return [x509.load_pem_x509_certificate(part + end) for part in pem.split(end)[:-1]]


def connect(host, port, chain, key):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # provisional: judged when the voucher is here
    context.load_cert_chain(chain, key)
    connection = http.client.HTTPSConnection(host, port, context=context, timeout=30)
    connection.connect()
    return connection


def call(connection, method, path, body=None, headers=None):
    connection.request(method, path, body=body, headers=headers or {})
    answer = connection.getresponse()
    return answer, answer.read(1 << 20)


def main():
    parser = argparse.ArgumentParser()
    for name in ("host", "birth-chain", "birth-key", "masa-anchors", "out"):
        parser.add_argument("--" + name, required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--spoil", choices=["serial", "nonce", "proximity"], default=None)
    args = parser.parse_args()

    with open(args.birth_chain, "rb") as file:
        idevid = load_chain(file.read())
    with open(args.birth_key, "rb") as file:
        birth_key = serialization.load_pem_private_key(file.read(), None)
    serial = idevid[0].subject.get_attributes_for_oid(x509.NameOID.SERIAL_NUMBER)[0].value

    # 1
    line = connect(args.host, args.port, args.birth_chain, args.birth_key)
    registrar_der = line.sock.getpeercert(binary_form=True)
    say("connected", tls=line.sock.version())

    # 2
    nonce = base64.b64encode(os.urandom(16)).decode()
    request = {
        "ietf-voucher-request:voucher": {
            "assertion": "proximity",
            "created-on": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "nonce": nonce,
            "serial-number": serial + ("x" if args.spoil == "serial" else ""),
            "proximity-registrar-cert": base64.b64encode(
                idevid[0].public_bytes(serialization.Encoding.DER)
                if args.spoil == "proximity"
                else registrar_der
            ).decode(),
        }
    }
    if args.spoil == "nonce":
        del request["ietf-voucher-request:voucher"]["nonce"]
    builder = pkcs7.PKCS7SignatureBuilder().set_data(json.dumps(request).encode())
    builder = builder.add_signer(idevid[0], birth_key, hashes.SHA256())
    for certificate in idevid[1:]:
        builder = builder.add_certificate(certificate)
    signed = builder.sign(
        serialization.Encoding.DER, [pkcs7.PKCS7Options.Binary, pkcs7.PKCS7Options.NoCapabilities]
    )
    answer, voucher = call(
        line, "POST", BRSKI + "requestvoucher", signed, {"Content-Type": VOUCHER, "Accept": VOUCHER}
    )
    if answer.status != 200:
        say("refused", status=answer.status, text=voucher.decode(errors="replace"))
        return 3
    if answer.getheader("Content-Type") != VOUCHER:
        raise SystemExit("content type %r" % answer.getheader("Content-Type"))

    # 3
    content = json.loads(
        openssl(
            "cms", "-verify", "-inform", "DER", "-binary", "-purpose", "any",
            "-CAfile", args.masa_anchors, data=voucher,
        )
    )["ietf-voucher:voucher"]
    assert content["serial-number"] == serial, content
    assert content["nonce"] == nonce, content
    assert "expires-on" not in content, "nonce and expires-on together (RFC 8366 5.3)"
    pin = x509.load_der_x509_certificate(base64.b64decode(content["pinned-domain-cert"]))
    with tempfile.TemporaryDirectory() as folder:
        pin_file, leaf_file = os.path.join(folder, "pin.pem"), os.path.join(folder, "leaf.pem")
        with open(pin_file, "wb") as file:
            file.write(pin.public_bytes(serialization.Encoding.PEM))
        with open(leaf_file, "wb") as file:
            registrar = x509.load_der_x509_certificate(registrar_der)
            file.write(registrar.public_bytes(serialization.Encoding.PEM))
        openssl("verify", "-partial_chain", "-CAfile", pin_file, leaf_file)
    say("voucher", assertion=content["assertion"], pin=pin.subject.rfc4514_string())

    # 4
    status = json.dumps({"version": 1, "status": True, "reason": "voucher accepted", "reason-context": {}})
    answer, _ = call(line, "POST", BRSKI + "voucher_status", status, {"Content-Type": "application/json"})
    assert answer.status == 200, answer.status

    # 5
    answer, body = call(line, "GET", EST + "cacerts")
    assert answer.status == 200 and answer.getheader("Content-Type").startswith("application/pkcs7-mime")
    anchors = pkcs7.load_der_pkcs7_certificates(base64.b64decode(body))
    assert anchors, "no CA certificate"
    answer, body = call(line, "GET", EST + "csrattrs")
    assert answer.status in (200, 204, 404), answer.status
    if answer.status == 200:
        assert answer.getheader("Content-Type") == "application/csrattrs", answer.getheader("Content-Type")
        base64.b64decode(body, validate=False)
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.SERIAL_NUMBER, serial)])
    csr = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
    body = base64.encodebytes(csr.public_bytes(serialization.Encoding.DER))
    answer, body = call(line, "POST", EST + "simpleenroll", body, {"Content-Type": "application/pkcs10"})
    if answer.status != 200:
        say("enrolment refused", status=answer.status, text=body.decode(errors="replace"))
        return 4
    assert "certs-only" in answer.getheader("Content-Type"), answer.getheader("Content-Type")
    (ldevid,) = pkcs7.load_der_pkcs7_certificates(base64.b64decode(body))[:1]
    public = serialization.PublicFormat.SubjectPublicKeyInfo
    der = serialization.Encoding.DER
    assert ldevid.public_key().public_bytes(der, public) == key.public_key().public_bytes(der, public)
    chain_file, key_file = os.path.join(args.out, "ldevid.pem"), os.path.join(args.out, "ldevid.key")
    anchors_file = os.path.join(args.out, "anchors.pem")
    with open(chain_file, "wb") as file:
        file.write(ldevid.public_bytes(serialization.Encoding.PEM))
    with open(anchors_file, "wb") as file:
        for anchor in anchors:
            file.write(anchor.public_bytes(serialization.Encoding.PEM))
    with open(key_file, "wb") as file:
        file.write(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
    openssl("verify", "-CAfile", anchors_file, chain_file)
    line.close()
    say("enrolled", subject=ldevid.subject.rfc4514_string(), serial="%x" % ldevid.serial_number)

    # 6
    line = connect(args.host, args.port, chain_file, key_file)
    status = json.dumps({"version": 1, "status": True, "reason": "enrolled", "reason-context": {}})
    answer, _ = call(line, "POST", BRSKI + "enrollstatus", status, {"Content-Type": "application/json"})
    assert answer.status == 200, answer.status
    say("done")
    return 0


if __name__ == "__main__":
    sys.exit(main())
