# ruff: noqa: E501, E731, E741, N806, PERF401 (a table of shapes reads better on one line each)
# mypy: disable-error-code="no-untyped-def,no-untyped-call,no-any-return,type-arg"
"""Secrets and look-alikes by another hand than the rules', made up at each run from a fixed seed: none is or was one."""

from __future__ import annotations

import base64
import json
import random
import string
import uuid

R = random.Random(4711)
A = string.ascii_letters + string.digits


def a(n, s=A):
    return "".join(R.choice(s) for _ in range(n))


h = lambda n: a(n, "0123456789abcdef")
w = lambda n: a(n, A + "-_")
b = lambda n: a(n, A + "+/")
u = lambda n: a(n, string.ascii_uppercase + string.digits)
l = lambda n: a(n, string.ascii_lowercase + string.digits)
d = lambda n: a(n, string.digits)


def jwt():
    e = lambda o: base64.urlsafe_b64encode(json.dumps(o).encode()).decode().rstrip("=")
    return (
        e({"alg": "HS256", "typ": "JWT", "kid": h(6)})
        + "."
        + e({"iss": "https://id.corp.test", "sub": d(9), "exp": 1999999999, "scope": "all"})
        + "."
        + w(43)
    )


def pem(k):
    return f"-----BEGIN {k}PRIVATE KEY-----\n" + "\n".join(b(64) for _ in range(10)) + f"\n-----END {k}PRIVATE KEY-----"


def secrets() -> list[tuple[str, str, str]]:
    T = {
        "gh": "ghp_" + a(36),
        "ghfine": "github_pat_" + a(22) + "_" + a(59),
        "gl": "glpat-" + w(20),
        "npm": "npm_" + a(36),
        "pypi": "pypi-AgEIcHlwaS5vcmc" + w(90),
        "aws": "AKIA" + a(16, "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"),
        "goog": "AIza" + w(35),
        "slackbot": "xoxb-" + d(12) + "-" + d(13) + "-" + a(24),
        "slackhook": "https://hooks.slack.com/services/T" + u(8) + "/B" + u(10) + "/" + a(24),
        "stripe": "sk_live_" + a(24),
        "stripelong": "sk_live_51" + a(97),
        "whsec": "whsec_" + a(32),
        "anth": "sk-ant-api03-" + w(93) + "AA",
        "openai": "sk-proj-" + w(74) + "T3BlbkFJ" + w(74),
        "openaiold": "sk-" + a(20) + "T3BlbkFJ" + a(20),
        "hf": "hf_" + a(34),
        "sg": "SG." + w(22) + "." + w(43),
        "mailgun": "key-" + h(32),
        "twilio": "SK" + h(32),
        "do": "dop_v1_" + h(64),
        "databricks": "dapi" + h(32),
        "vault": "hvs." + w(95),
        "doppler": "dp.pt." + a(43),
        "shopify": "shpat_" + h(32),
        "square": "EAAA" + w(60),
        "telegram": d(10) + ":AA" + w(33),
        "discordhook": "https://discord.com/api/webhooks/" + d(18) + "/" + w(68),
        "linear": "lin_api_" + a(40),
        "grafana": "glsa_" + a(32) + "_" + h(8),
        "newrelic": "NRAK-" + u(27),
        "sentry": "sntryu_" + h(64),
        "groq": "gsk_" + a(52),
        "repl": "r8_" + a(37),
        "figma": "figd_" + w(40),
        "docker": "dckr_pat_" + w(27),
        "jwt": jwt(),
        "pg": "postgresql://svc:" + a(18) + "@db1.corp.test:5432/x",
        "mongo": "mongodb+srv://u:" + a(20) + "@c0.x1.mongodb.net/",
        "redis": "redis://:" + a(24) + "@r.corp.test:6379",
        "gitcred": "https://oauth2:" + a(24) + "@git.corp.test/a/b.git",
        "age": "AGE-SECRET-KEY-1" + a(58, "QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L"),
        "tailscale": "tskey-auth-" + a(12) + "-" + a(32),
        "notion": "ntn_" + d(11) + a(35),
        "atlas": "ATATT3xFfGF0" + w(171) + "=" + u(8),
        "terraform": a(14) + ".atlasv1." + w(64),
        "azure": a(3) + "8Q~" + a(34),
        "azstore": "DefaultEndpointsProtocol=https;AccountName=corp;AccountKey="
        + b(86)
        + "==;EndpointSuffix=core.windows.net",
        "gcpoauth": "ya29." + w(120),
        "gocspx": "GOCSPX-" + w(28),
        "supabase": "sbp_" + h(40),
        "perplexity": "pplx-" + a(48),
        "xai": "xai-" + a(80),
        "postman": "PMAK-" + h(24) + "-" + h(34),
        "pscale": "pscale_tkn_" + w(43),
        "fly": "fo1_" + w(43),
        "airtable": "pat" + a(14) + "." + h(64),
        "rubygems": "rubygems_" + h(48),
        "sonar": "squ_" + h(40),
        "brevo": "xkeysib-" + h(64) + "-" + l(16),
        "mailchimp": h(32) + "-us8",
        "openrouter": "sk-or-v1-" + h(64),
        "langsmith": "lsv2_pt_" + h(32) + "_" + h(10),
        "cratesio": "cio" + a(32),
    }
    K = {
        "awssecret": ("AWS_SECRET_ACCESS_KEY", b(40)),
        "dbpw": ("DB_PASSWORD", a(16) + "!"),
        "api": ("API_KEY", a(32)),
        "secretkey": ("SECRET_KEY", a(50)),
        "client": ("client_secret", w(40)),
        "dd": ("DD_API_KEY", h(32)),
        "heroku": ("HEROKU_API_KEY", str(uuid.UUID(int=R.getrandbits(128)))),
        "pw": ("password", a(12) + "#7"),
        "smtp": ("SMTP_PASS", a(16)),
        "enc": ("ENCRYPTION_KEY", b(43) + "="),
        "jwtsecret": ("JWT_SECRET", h(64)),
        "refresh": ("refresh_token", w(60)),
        "cf": ("CLOUDFLARE_API_TOKEN", w(40)),
        "okta": ("OKTA_TOKEN", "00" + w(40)),
        "auth": ("auth_token", h(40)),
        "sign": ("SIGNING_SECRET", h(32)),
        "pgpw": ("PGPASSWORD", a(20)),
        "tw": ("TWILIO_AUTH_TOKEN", h(32)),
        "algolia": ("ALGOLIA_ADMIN_KEY", h(32)),
        "priv": ("private_key_passphrase", a(22)),
    }
    out = []
    wraps = [
        lambda s: f"The value is {s}, please keep it.",
        lambda s: json.dumps({"result": {"token": s}}),
        lambda s: f"credentials:\n  token: {s}\n  ttl: 60",
        lambda s: f"TOKEN={s}\nDEBUG=1",
        lambda s: f"2026-02-03T10:00:00Z INFO auth ok key={s} user=7",
        lambda s: f"const c = new Client('{s}');",
        lambda s: f"https://api.corp.test/v1?access_token={s}&x=1",
        lambda s: f"curl -H 'Authorization: Bearer {s}' https://api.corp.test",
    ]
    for i, (k, s) in enumerate(T.items()):
        for j in (0, 3):
            wr = wraps[(i + j) % len(wraps)]
            if "://" in s or ";" in s:
                wr = wraps[0 if j else 3]
            out.append((k, s, wr(s)))
    kw = [
        lambda k, v: f"{k}={v}",
        lambda k, v: f'{{"{k}": "{v}"}}',
        lambda k, v: f"{k}: {v}",
        lambda k, v: f"export {k}='{v}'",
        lambda k, v: f'"{k.lower()}" => "{v}",',
        lambda k, v: f"<{k}>{v}</{k}>",
        lambda k, v: f"| {k} | {v} |",
        lambda k, v: f"--{k.lower().replace('_', '-')} {v}",
    ]
    for i, (k, (n, v)) in enumerate(K.items()):
        for j in (0, 1, 2):
            out.append((k + str((i + j * 3) % len(kw)), v, kw[(i + j * 3) % len(kw)](n, v)))
    for k in ("RSA ", "", "EC ", "OPENSSH ", "DSA "):
        p = pem(k)
        out.append(("pem" + k, p.split("\n")[3], p))
        out.append(("pemesc" + k, p.split("\n")[3], json.dumps({"k": p})))
    return out


def looks() -> list[str]:
    o = []
    for _ in range(6):
        o += [
            str(uuid.UUID(int=R.getrandbits(128))),
            f"commit {h(40)}",
            f"index {h(7)}..{h(7)} 100644",
            f"sha256:{h(64)}",
            f"md5 {h(32)}  file.iso",
            f'"integrity": "sha512-{b(86)}=="',
            f"docker.io/x/y@sha256:{h(64)}",
            f'ETag: W/"{h(32)}"',
            f"traceparent: 00-{h(32)}-{h(16)}-01",
            f"x-request-id: {uuid.UUID(int=R.getrandbits(128))}",
            f'"nextPageToken": "{w(40)}"',
            f'"cursor": "{base64.b64encode(json.dumps({"id": R.randrange(10**9)}).encode()).decode()}"',
            f'integrity="sha384-{b(64)}" crossorigin',
            f"arn:aws:s3:::bucket-{l(12)}/key/{uuid.UUID(int=R.getrandbits(128))}",
            f"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI{b(43)} me@host",
            f"-----BEGIN PUBLIC KEY-----\n{b(64)}\n{b(64)}\n-----END PUBLIC KEY-----",
            f"-----BEGIN CERTIFICATE-----\n{b(64)}\n{b(64)}\n{b(40)}\n-----END CERTIFICATE-----",
            f"data:image/png;base64,iVBORw0KGgo{b(200)}",
            f"0x{h(40)}",
            f"0x{h(64)} tx hash",
            f"/assets/index-{w(8)}.js",
            f".css-{l(6)}-MuiBox-root{{color:#{h(6)}}}",
            f"https://cdn.x.test/v/{h(32)}/main.min.js?v={h(8)}",
            f"+1 415 555 {d(4)}",
            f"order_{d(10)} sku SK{d(8)}",
            f'"id": "evt_{a(24)}"',
            f'"customer": "cus_{a(14)}"',
            f'"message_id": "<{a(22)}@mail.x.test>"',
            f"arXiv 2401.{d(5)}, doi 10.1000/{d(6)}.{d(4)}",
            f'"publishableKey": "pk_live_{a(24)}"',
            f"Qm{a(44)}",
            f"key: user:{d(6)}:profile:{l(8)}",
            f'"public_key": "{b(43)}="',
            f"go.sum: golang.org/x/net v0.1.0 h1:{b(43)}=",
            f'yarn resolved "https://r.test/a.tgz#{h(40)}"',
            f"name=hash sha1-{b(27)}=",
        ]
    o += [
        "password: <your-password>",
        "API_KEY=your_api_key_here",
        "token: YOUR_TOKEN",
        "SECRET_KEY=${SECRET_KEY}",
        "password = os.environ['DB_PASSWORD']",
        "api_key=process.env.API_KEY",
        "Authorization: Bearer {token}",
        "token = request.headers.get('x-token')",
        "password: string;",
        '"password": "********"',
        "passwd: REDACTED",
        "client_secret: [hidden]",
        "AWS_SECRET_ACCESS_KEY=wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
        "postgres://user:pass@localhost/db",
        "mysql://root:root@127.0.0.1/test",
        "redis://localhost:6379/0",
        "https://user:password@example.com",
        "secret_name = projects/p/secrets/db/versions/latest",
        "key_id: 1234567890abcdef",
        "max_tokens=16384",
        "The token expires in 3600 seconds.",
        "password reset link sent",
        "function validatePassword(password) { return password.length > 8 }",
        "if (token === undefined) throw new Error('token required')",
        '<input type="password" name="password" autocomplete="current-password">',
        "SECRET: see vault path kv/data/prod/api",
        "apiKeyRef: {name: app-keys, key: primary}",
        "xoxb-0000-0000-xxxx",
        "AKIAIOSFODNN7EXAMPLE",
        "ghp_0000000000000000000000000000000000000000"[:40],
        "sk-1234567890abcdef... (truncated)",
        "token count: 128000 tokens",
        "keyboard: qwertyuiopasdfghjklzxcvbnm",
        "hash_password(password, salt)",
        "PASSWORD_MIN_LENGTH=12",
        "password_policy: strong-with-symbols",
        "session.secret_rotation_days: 90",
    ]
    return o
