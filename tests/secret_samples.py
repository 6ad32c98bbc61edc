"""Secrets as their issuers write them, made up anew at each run from a fixed seed, and texts that only look like some.

Nothing here is or was a secret; whole samples are nowhere written down, so that nobody's scanner stumbles over them.
"""

from __future__ import annotations

import base64
import json
import random
import re
import string

_RANDOM = random.Random(20)
_SETS = {
    "a": string.ascii_letters + string.digits,
    "w": string.ascii_letters + string.digits + "_-",
    "h": "0123456789abcdef",
    "H": "0123456789ABCDEF",
    "u": string.ascii_uppercase + string.digits,
    "l": string.ascii_lowercase + string.digits,
    "d": string.digits,
    "b": string.ascii_letters + string.digits + "+/",
    "2": string.ascii_uppercase + "234567",
}
_HOLE = re.compile(r"<(\w)(\d+)>")


def made(shape: str) -> str:
    """`<a36>`: 36 letters and digits; the other sets are named above."""
    return _HOLE.sub(lambda hole: "".join(_RANDOM.choices(_SETS[hole[1]], k=int(hole[2]))), shape)


def jwt() -> str:
    def part(value: object) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

    return f"{part({'alg': 'RS256', 'typ': 'JWT'})}.{part({'sub': made('<h12>'), 'exp': 1893456000})}.{made('<w86>')}"


def private_key(kind: str = "RSA ") -> str:
    lines = "\n".join(made("<b64>") for _ in range(12))
    return f"-----BEGIN {kind}PRIVATE KEY-----\n{lines}\n-----END {kind}PRIVATE KEY-----"


SHAPES = """
ghp_<a36>|gho_<a36>|ghu_<a36>|ghs_<a36>|ghr_<a36>|github_pat_<a22>_<a59>
glpat-<w20>|gldt-<w20>|glrt-<w20>|glptt-<h40>|GR1348941<w20>|npm_<a36>|pypi-AgEIcHlwaS5vcmc<w80>|rubygems_<h48>
dckr_pat_<w27>|<a14>.atlasv1.<w64>|CCIPAT_<a22>_<h40>|sgp_<h16>_<h40>|squ_<h40>|pul-<h40>|pnu_<a36>|dp.pt.<a43>
PMAK-<h24>-<h34>|rdme_<l70>|AKIA<216>|ASIA<216>|AIza<w35>|ya29.<w60>|GOCSPX-<w28>|<a3>8Q~<a34>|LTAI<a20>
DefaultEndpointsProtocol=https;AccountName=x;AccountKey=<b86>==;EndpointSuffix=core.windows.net
dop_v1_<h64>|HRKU-AA<w58>|dapi<h32>|hvs.<w96>|pscale_tkn_<w43>|sbp_<h40>|sha256~<w43>|fo1_<w43>
xoxb-<d12>-<d12>-<a24>|xoxp-<d12>-<d12>-<d12>-<h32>|xapp-1-A<u10>-<d13>-<h64>
https://hooks.slack.com/services/T<u9>/B<u10>/<a24>|https://discord.com/api/webhooks/<d18>/<w68>
<d10>:AA<w33>|SG.<w22>.<w43>|xkeysib-<h64>-<a16>|key-<h32>|<h32>-us14|SK<h32>|re_<a8>_<a24>
sk_live_<a24>|rk_live_<a24>|sk_test_<a24>|whsec_<a32>|sq0atp-<w22>|sq0csp-<w43>|shpat_<h32>|shpss_<h32>|rzp_live_<a14>
access_token$production$<l16>$<h32>|EZAK<a54>|shippo_live_<h40>|duffel_live_<w43>
sk-ant-api03-<w93>AA|sk-proj-<w74>T3BlbkFJ<w74>|sk-<a20>T3BlbkFJ<a20>|sk-or-v1-<h64>|hf_<a34>|r8_<a37>|gsk_<a52>|xai-<a80>
pplx-<a48>|nvapi-<w64>|tvly-<a32>|lsv2_pt_<h32>_<h10>|ntn_<d11><a35>|secret_<a43>|lin_api_<a40>|figd_<w40>
pat<a14>.<h64>|tfp_<w44>_<w14>|glsa_<a32>_<h8>|glc_<b60>|sntryu_<h64>|NRAK-<u27>|dt0c01.<u24>.<u64>|phx_<a43>
pat-na1-<h8>-<h4>-<h4>-<h4>-<h12>|EAACEdEose0cBA<a120>|tskey-auth-<a12>-<a32>|AGE-SECRET-KEY-1QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7LQPZRY9X8GF2TVDW0S3JN54KHCE
postgres://app:<a16>@db.internal:5432/app|mongodb+srv://root:<a20>@cluster0.mongodb.net|redis://:<a24>@cache:6379/0
amqps://svc:<a18>@mq.internal/vhost|https://bot:<a22>@git.corp.example/repo.git
Server=db;Database=x;User Id=sa;Password=<a14>!;|Authorization: Bearer <w40>|authorization: Basic <b40>
aws_secret_access_key = <b40>|"AWS_SECRET_ACCESS_KEY": "<b40>"|DATADOG_API_KEY=<h32>|twilio_auth_token: <h32>
HEROKU_API_KEY=<h8>-<h4>-<h4>-<h4>-<h12>|client_secret=<w32>|api_key: "<a32>"|"apiKey":"<a40>"|password = "<a12>!x"
DB_PASSWORD=<a14>|SECRET_KEY='<w50>'|"access_token": "<w64>"|x-api-key: <a32>|okta_token: 00<w40>|curl -u admin:<a14> https://x
"""

LOOK_ALIKES = (
    "550e8400-e29b-41d4-a716-446655440000",
    "commit e83c5163316f89bfbde7d9ab23ca2e25604af290",
    "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    '"integrity": "sha512-oRK0k1cd0jwJXhiRtAnmb1nKzLWkrcCVb3bVBDZbVLRkTm5aCSMCXWQzLHTVHYZdpbT7RG6PmZMgDDKlL4lBrQ=="',
    "AKIAIOSFODNN7EXAMPLE and wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
    "sk-xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
    "sk-your-api-key-here",
    "OPENAI_API_KEY=sk-...",
    "ghp_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
    "GITHUB_TOKEN=<your token>",
    "token: ${GITHUB_TOKEN}",
    "password: {{ vault_password }}",
    "password=$DB_PASSWORD",
    "password: ********",
    "password: changeme",
    "The password field must not be empty",
    "password is required",
    "Password: must be at least 12 characters long",
    "api_key: string",
    '"token": null, "secret": true, "apiKey": ""',
    "max_tokens: 4096, total_tokens=123456789012",
    '"next_page_token": "CAoQAA3fK29x81hhA0sl29dk"',
    '"nextToken": "eyJ2IjoiMSIsInAiOjEyM30xyz0123456789ab"',
    "public_key: MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE",
    "pk_live_51H8xyzABCDEF0123456789ab",
    "-----BEGIN PUBLIC KEY-----\nMIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEA\n-----END PUBLIC KEY-----",
    "-----BEGIN CERTIFICATE-----\nMIIDdzCCAl+gAwIBAgIEAgAAuTANBgkqhkiG9w0BAQUFADBaMQsw\n-----END CERTIFICATE-----",
    "the file begins with -----BEGIN PRIVATE KEY----- and goes on",
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGk0mZsYn8vXo3jzAP0gqGc2W4bRk8L9dT user@host",
    "postgres://user:password@localhost:5432/db",
    "postgres://localhost:5432/db",
    "https://user@example.com/path",
    "mysql://USER:${PASS}@host/db",
    "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIiwibmFtZSI6IkpvaG4gRG9lIiwiaWF0IjoxNTE2MjM5MDIyfQ."
    "SflKxwRJSMeKKF2QT4fwpMeJf36POk6yJV_adQssw5c",
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==",
    "arn:aws:iam::123456789012:role/service-role/my-role",
    "primary_key: user_id, sort_key: created_at",
    "cache_key=user:1234567890:profile:v2",
    "secret name: prod/db/password",
    "secretName: my-tls-secret-1",
    "secretKeyRef: {name: db-credentials, key: password}",
    "token_type: bearer, expires_in: 3600",
    "Authorization: Bearer <token>",
    "Authorization: Bearer YOUR_ACCESS_TOKEN",
    "curl -H 'Authorization: Bearer $TOKEN' https://api.example.com",
    "tokenizer: cl100k_base, model: gpt-4o-2024-08-06",
    "const token = getToken(request.headers)",
    "self.password = self.config.get_password()",
    "if password == expected_password: return token",
    'ETag: "33a64df551425fcc55e4d42a148795d9f25f89d4"',
    "trace id 4bf92f3577b34da6a3ce929d0e0e4736, span id 00f067aa0ba902b7",
    "docker.io/library/nginx@sha256:4c0fdaa8b6341bfdeca5f18f7837462c80cff90527ee35ef185571e1c327beac",
    "https://example.com/a/b?utm_source=newsletter&utm_campaign=spring",
    "QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWnPbdG",
    "0x742d35Cc6634C0532925a3b844Bc454e4438f44e",
    "1234-5678-9012-3456 is a serial number, version 1.2.3-rc.4+build.567",
    "session_id: 12345, key: Enter, key: ArrowDown",
    "keyboard shortcut key=Ctrl+Shift+P",
    "The quick brown fox jumps over the lazy dog. Secret: there is none.",
    "My secret is a good night's sleep; the key to it: silence.",
    "credentials: include, mode: cors, token=abc",
    "csrf_token_name=csrfmiddlewaretoken",
    "password_hash: $2b$12$KIXQJ1z8Yx",
    "AccountKey=<your-storage-key>",
    "hooks.slack.com/services/T00000000/B00000000/XXXXXXXXXXXXXXXXXXXXXXXX",
    "xoxb-your-token-here",
    "AIzaSyXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXX",
    "npm_config_registry=https://registry.npmjs.org/",
    "SG.xxxxxxxx.yyyyyyyy",
    "glpat-xxxxxxxxxxxxxxxxxxxx",
    "sk_test_4eC39HqLyjWDarjtT1zdp7dc",
    "SKU: SK1234567890, order re_123",
    "hf_model_name, r8_count, fc-layer, key-value store, at-rest.encryption",
)


def samples() -> list[str]:
    shapes = [shape for line in SHAPES.strip().splitlines() for shape in line.split("|")]
    keys = [private_key(kind) for kind in ("RSA ", "", "EC ", "OPENSSH ", "ENCRYPTED ")]
    return [*map(made, shapes), *(jwt() for _ in range(3)), *keys]
