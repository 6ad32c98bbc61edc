# ruff: noqa: E501 (patterns read better on one line)
"""The kinds of secrets: how they are written, and what tells them from look-alikes.

Each kind is known by a prefix of its issuer or by what stands around it. `shape` has the secret in its group `s`, or is
the secret as a whole; `hint` is what any text with it contains, in a form that one pass over the bytes can look for.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from garrison.policy.late import Late
from garrison.policy.screening.checks import is_github, is_jwt, is_keyed_value, is_password, is_random, is_userinfo


@dataclass(frozen=True, slots=True)
class Kind:
    """`hint`: for the prefilter, over JSON text; `holds`: whether the secret's text can be one. `body`: what is judged of it is
    what follows the prefix."""

    name: str
    hint: str
    shape: Late
    holds: Callable[[str], bool]


_LEFT = r"(?<![A-Za-z0-9_])"
_RIGHT = r"(?![A-Za-z0-9_])"


def _token(name: str, prefix: str, body: str, holds: Callable[[str], bool] = is_random, least: int = 12) -> Kind:
    """A token with a prefix: judged by what follows it."""
    return Kind(name, rf"{prefix}[A-Za-z0-9_.+/=-]{{{least}}}", Late(rf"{_LEFT}{prefix}(?P<s>{body}){_RIGHT}"), holds)


def _whole(name: str, hint: str, shape: str, holds: Callable[[str], bool] = is_random, flags: int = 0) -> Kind:
    return Kind(name, hint, Late(shape, flags), holds)


_W = r"[A-Za-z0-9_-]"
_A = r"[A-Za-z0-9]"
_H = r"[0-9a-fA-F]"
_B = r"[A-Za-z0-9+/]"
_SEP = r"""(?:["'\\\]]{0,3}\s{0,3}(?:=>|:=|=|:|\||>|\bis\b|,\s*value\s*:)\s{0,3}["'\\]{0,3}|\s{1,2}["'])"""
_KEYED = (
    r"(?:(?:(?<![A-Za-z0-9_-])|(?-i:(?<=[a-z])(?=[A-Z]))(?<!next)(?<!page)(?<!tion)(?<!sync)(?<!sor)(?<!public)(?<!mary))(?!(?:next|page|continuation|sync|cursor|upload|delta|pagination|resume|skip|public|publishable|primary|foreign|sort|partition|cache|idempotency|csrf_?|xsrf|max|min|num|total|prompt|completion|input|output)[_-]?\w*?(?:token|key))"
    r"(?:[A-Za-z0-9]{1,24}[_ -]){0,4}(?:api[_ -]?key|api[_ -]?token|access[_ -]?token|auth[_ -]?token|refresh[_ -]?token|session[_ -]?token|id[_ -]?token|bearer[_ -]?token|secret[_ -]?(?:access[_ -]?)?key|access[_ -]?key|private[_ -]?key"
    r"|client[_ -]?secret|app[_ -]?secret|consumer[_ -]?secret|signing[_ -]?(?:key|secret)|encryption[_ -]?key|webhook[_ -]?secret|shared[_ -]?secret|account[_ -]?key|auth[_ -]?key|secret[_ -]?token|deploy[_ -]?token|x-api-key|secret|token|apikey|credential|api[_ -]?secret|jwt[_ -]?secret|master[_ -]?key)s?)"
)
_VENDORS = (
    "adafruit|adobe|airtable|algolia|alibaba|asana|atlassian|confluence|jira|bitbucket|bittrex|codecov|cohere|coinbase|confluent|contentful|datadog|discord|drone|dropbox|etsy|facebook|fastly|finicity|finnhub|flickr|freshbooks|gitter"
    "|heroku|hubspot|intercom|kraken|kucoin|launchdarkly|linkedin|mailgun|mailchimp|mapbox|mattermost|messagebird|netlify|newrelic|new[_-]relic|nytimes|okta|plaid|rapidapi|sendbird|snyk|sonar|squarespace|sumologic|travis|trello|twilio|twitch"
    "|twitter|typeform|yandex|zendesk|cloudflare|pagerduty|opsgenie|segment|mixpanel|amplitude|auth0|firebase|azure|looker|snowflake|vercel|render|linode|vultr|ovh|scaleway|hetzner|stripe|paypal|square|braintree|openai|deepl|assemblyai|elevenlabs"
)

SECRETS: Final = (
    # ── code hosting, packages, pipelines ──
    Kind("github-token", r"gh[pousr]_[0-9A-Za-z]{16}", Late(rf"{_LEFT}(?P<s>gh[pousr]_{_A}{{36,251}}){_RIGHT}"), is_github),
    _token("github-fine-grained-pat", "github_pat_", r"[0-9A-Za-z]{22}_[0-9A-Za-z]{59}|\w{60,90}"),
    _token("gitlab-token", r"gl(?:pat|dt|cbt|ptt|rt|ft|imt|agent|oas|soat|ffct)-", rf"(?:{_W}|\.){{20,320}}"),
    _token("gitlab-runner-registration", "GR1348941", rf"{_W}{{20}}"),
    _token("bitbucket-token", "ATBB", rf"{_A}{{24,40}}"),
    _token("atlassian-token", "ATATT3", rf"(?:{_W}|=){{60,230}}"),
    _token("atlassian-oauth", "ATCTT3", rf"(?:{_W}|=){{60,230}}"),
    _token("npm-token", "npm_", rf"{_A}{{36}}"),
    _token("pypi-token", "pypi-AgE", rf"{_W}{{50,1000}}"),
    _token("rubygems-token", "rubygems_", r"[a-f0-9]{48}"),
    _token("crates-token", "cio", rf"{_A}{{32}}"),
    _token("nuget-key", "oy2", r"[a-z0-9]{43}"),
    _token("clojars-token", "CLOJARS_", r"[a-z0-9]{60}"),
    _token("jfrog-key", "AKCp", rf"{_A}{{60,80}}"),
    _token("jfrog-reference-token", "cmVmd", rf"{_A}{{59}}"),
    _token("docker-token", r"dckr_(?:pat|oat)_", rf"{_W}{{27,40}}"),
    _token("terraform-token", r"[A-Za-z0-9]{14}\.atlasv1\.", r"[A-Za-z0-9=_-]{60,70}"),
    _token("circleci-token", "CCIPAT_", rf"{_A}{{22}}_[a-f0-9]{{40}}"),
    _token("circleci-project-token", "CCIPRJ_", rf"{_A}{{22}}_[a-f0-9]{{40}}"),
    _token("buildkite-token", r"bk(?:ua|at|pt)_", r"[a-f0-9]{40}"),
    _token("sourcegraph-token", r"sgp_(?:(?:[a-fA-F0-9]{16}|local)_)?", r"[a-fA-F0-9]{40}"),
    _token("sonarqube-token", r"sq[upa]_", r"[a-f0-9]{40}"),
    _token("pulumi-token", "pul-", r"[a-f0-9]{40}"),
    _token("prefect-key", r"pn[ub]_", rf"{_A}{{36}}"),
    _token("doppler-token", r"dp\.(?:pt|st|ct|sa|scim|audit)\.(?:[a-z0-9_-]{2,35}\.)?", rf"{_A}{{40,44}}"),
    _token("postman-key", "PMAK-", r"[a-f0-9]{24}-[a-f0-9]{34}"),
    _token("readme-token", "rdme_", r"[a-z0-9]{70}"),
    _token("harness-key", r"(?:pat|sat)\.", rf"{_W}{{22}}\.{_A}{{24}}\.{_A}{{20}}", least=20),
    _token("octopus-key", "API-", r"[A-Z0-9]{26}"),
    _token("infracost-token", "ico-", rf"{_A}{{32}}"),
    _token("scalr-token", r"at-[a-z0-9]{10,20}\.", rf"{_W}{{40,}}"),
    _token("snyk-token", r"snyk_(?:uat|sat)\.[a-z0-9]{8}\.", rf"(?:{_W}|\.){{40,}}"),
    # ── clouds ──
    Kind("aws-access-key-id", r"(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}", Late(rf"{_LEFT}(?P<s>(?:AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{{16}}){_RIGHT}"), lambda text: is_random(text[4:])),
    _whole("aws-secret-key", r"(?i)key[\"'\\\]]{0,5} {0,3}(?:=>|:=|=|:|\||>)[ \"'\\]{0,6}[A-Za-z0-9/+]{40}", rf"(?i:aws|secret_?access_?key|SecretAccessKey)[\w ./-]{{0,24}}{_SEP}(?P<s>[A-Za-z0-9/+]{{40}})(?![A-Za-z0-9/+=])"),
    _whole("aws-session-token", r"(?i)session_?token.{0,12}[A-Za-z0-9/+]{60}", rf"(?i:aws_?session_?token|SessionToken){_SEP}(?P<s>[A-Za-z0-9/+=]{{80,}})"),
    _token("aws-bedrock-key", "ABSK", rf"{_B}{{100,270}}={{0,2}}"),
    _token("aws-mws-token", r"amzn\.mws\.", rf"{_H}{{8}}-{_H}{{4}}-{_H}{{4}}-{_H}{{4}}-{_H}{{12}}"),
    _token("gcp-api-key", "AIza", rf"{_W}{{35}}", least=20),
    _token("gcp-oauth-token", r"ya29\.", rf"(?:{_W}|\.){{24,}}"),
    _token("gcp-oauth-secret", "GOCSPX-", rf"{_W}{{28}}"),
    _token("gcp-refresh-token", r"1//0", rf"{_W}{{40,}}", least=30),
    _whole("gcp-service-account", r"private_key_id", r"\"private_key_id\\?\"\s*:\s*\\?\"(?P<s>[a-f0-9]{40})"),
    _whole("azure-storage-key", r"AccountKey=", rf"AccountKey=(?P<s>{_B}{{86}}==)"),
    _whole("azure-shared-key", r"SharedAccess(?:Key|Signature)=", r"SharedAccess(?:Key|Signature)=(?P<s>[A-Za-z0-9+/=%&.-]{40,})"),
    _whole("azure-sas", r"[?&]sig=", r"[?&;]sig=(?P<s>[A-Za-z0-9%+/]{40,}(?:%3D|=){0,2})"),
    _whole("azure-client-secret", r"[0-9]Q~[A-Za-z0-9_~.-]{20}", r"(?<![A-Za-z0-9_~.-])(?P<s>[A-Za-z0-9_~.]{3}\dQ~[A-Za-z0-9_~.-]{31,34})(?![A-Za-z0-9_~-])"),
    _whole("azure-devops-pat", r"AZDO[A-Za-z0-9]{4}", rf"{_LEFT}(?P<s>{_A}{{76}}AZDO{_A}{{4}}){_RIGHT}"),
    _whole("azure-cognitive-key", r"AZ[A-Z]{2,4}[A-Za-z0-9]{4}", rf"{_LEFT}(?P<s>{_A}{{52}}JQQJ99{_A}{{10}}AC{_A}{{12,20}}){_RIGHT}"),
    _token("alibaba-access-key", "LTAI", rf"{_A}{{12,24}}"),
    _token("tencent-secret-id", "AKID", rf"{_A}{{32}}"),
    _token("ibm-cloud-key", r"(?i:ibm(?:_cloud)?_api_key['\"]?\s?[:=]\s?['\"]?)", rf"{_W}{{44}}"),
    _token("digitalocean-token", r"do[opr]_v1_", r"[a-f0-9]{64}"),
    _token("linode-token", r"(?i:linode[\w -]{0,20}[:=]\s?['\"]?)", r"[a-f0-9]{64}"),
    _token("heroku-key", "HRKU-", rf"(?:AA{_W}{{58}}|{_H}{{8}}-{_H}{{4}}-{_H}{{4}}-{_H}{{4}}-{_H}{{12}})"),
    _token("fly-token", r"(?:fo1_|fm[12][ar]?_)", r"[A-Za-z0-9+/=_-]{40,}"),
    _token("cloudflare-ca-key", r"v1\.0-", r"[a-f0-9]{24}-[a-f0-9]{146}", least=40),
    _token("databricks-token", r"dapi", r"[a-f0-9]{32}(?:-\d)?"),
    _token("vault-token", r"hv[sbr]\.", rf"{_W}{{24,300}}"),
    _token("vault-token-old", r"(?i:vault[\w -]{0,16}[:=]\s?['\"]?)s\.", rf"{_A}{{24}}"),
    _token("planetscale-token", r"pscale_(?:tkn|oauth|pw)_", r"[\w=.-]{32,64}"),
    _token("supabase-key", r"sb(?:p_|_secret_)", rf"{_W}{{31,60}}"),
    _token("neon-key", "napi_", r"[a-z0-9]{40,80}"),
    _token("confluent-secret", "cflt", rf"{_B}{{60}}"),
    _token("openshift-token", "sha256~", rf"{_W}{{43}}"),
    _token("vercel-token", r"vc[a-z]?_", rf"{_A}{{24,60}}", least=24),
    _token("render-key", "rnd_", rf"{_A}{{28,36}}"),
    _token("netlify-token", r"nf[pcuo]_", rf"{_A}{{36,40}}"),
    _token("clickhouse-key", "4b1d", rf"{_A}{{38}}"),
    _token("mongodb-atlas-key", "mdb_sa_sk_", rf"{_W}{{40}}"),
    # ── chat, mail, phone ──
    _token("slack-token", r"xox[baprose]-", r"(?:\d{1,14}-){0,4}[A-Za-z0-9-]{10,160}"),
    _token("slack-config-token", r"xoxe\.xox[bp]-\d-", r"[A-Za-z0-9]{100,200}"),
    _token("slack-app-token", r"xapp-\d-", r"[A-Z0-9]{8,14}-\d{8,16}-[a-f0-9]{40,70}"),
    _whole("slack-webhook", r"hooks\.slack\.com", r"hooks\.slack\.com/(?:services|workflows|triggers)/(?P<s>[A-Za-z0-9+/]{30,64})"),
    _whole("teams-webhook", r"webhook\.office\.com", r"webhook\.office\.com/webhookb2/(?P<s>[A-Za-z0-9@/-]{60,})"),
    _whole("discord-webhook", r"api/webhooks/", r"discord(?:app)?\.com/api/webhooks/(?P<s>\d{15,21}/[\w-]{50,90})"),
    _whole("discord-token", r"[MNO][A-Za-z0-9_-]{23,27}\.[A-Za-z0-9_-]{6}\.[A-Za-z0-9_-]{20}", r"(?<![\w.-])(?P<s>[MNO][A-Za-z\d_-]{23,27}\.[\w-]{6}\.[\w-]{27,40})(?![\w-])"),
    _whole("telegram-bot-token", r"[0-9]{8,10}:A[A-Za-z0-9_-]{20}", r"(?<!\d)(?P<s>\d{8,10}:A[A-Za-z0-9_-]{34})(?![\w-])"),
    _token("sendgrid-key", r"SG\.", rf"{_W}{{20,24}}\.{_W}{{39,50}}"),
    _token("brevo-key", r"xkeysib-", r"[a-f0-9]{64}-[A-Za-z0-9]{16}"),
    _token("mailgun-key", r"(?<![a-z])key-", r"[a-f0-9]{32}"),
    _whole("mailgun-signing-key", r"[a-f0-9]{32}-[a-f0-9]{8}-[a-f0-9]{8}", r"(?<![\w-])(?P<s>[a-f0-9]{32}-[a-f0-9]{8}-[a-f0-9]{8})(?![\w-])"),
    _whole("mailchimp-key", r"[a-f0-9]{32}-us[0-9]", rf"{_LEFT}(?P<s>[a-f0-9]{{32}}-us\d{{1,2}}){_RIGHT}"),
    _token("twilio-key", r"SK", r"[0-9a-f]{32}", least=32),
    _token("resend-key", r"re_", rf"{_A}{{7,9}}_{_A}{{20,28}}", least=24),
    _token("intercom-token", r"dG9r", rf"{_B}{{52,60}}=?", least=40),
    # ── money ──
    _token("stripe-key", r"(?:sk|rk)_(?:live|test|prod)_", rf"{_A}{{16,247}}"),
    _token("stripe-webhook-secret", "whsec_", r"[A-Za-z0-9+/=]{24,64}"),
    _token("square-token", r"(?:sq0(?:atp|csp|idp)-|EAAA)", rf"{_W}{{22,64}}", least=22),
    _token("paypal-braintree-token", r"access_token\$production\$", r"[0-9a-z]{16}\$[0-9a-f]{32}", least=8),
    _token("shopify-token", r"shp(?:at|ca|pa|ss|tka|rt)_", r"[a-fA-F0-9]{32}"),
    _token("flutterwave-key", r"FLWSECK(?:_TEST)?-", r"[a-hA-H0-9]{12,40}(?:-X)?"),
    _token("razorpay-key", r"rzp_(?:live|test)_", rf"{_A}{{14}}"),
    _token("plaid-token", r"access-(?:sandbox|development|production)-", rf"{_H}{{8}}-{_H}{{4}}-{_H}{{4}}-{_H}{{4}}-{_H}{{12}}"),
    _token("duffel-token", r"duffel_(?:test|live)_", r"[A-Za-z0-9_=-]{43}"),
    _token("easypost-key", r"EZ[AT]K", rf"{_A}{{54}}"),
    _token("shippo-token", r"shippo_(?:live|test)_", r"[a-fA-F0-9]{40}"),
    _token("coinbase-key", r"organizations/[a-f0-9-]{36}/apiKeys/", rf"{_H}{{8}}-{_H}{{4}}-{_H}{{4}}-{_H}{{4}}-{_H}{{12}}"),
    _token("lob-key", r"(?:live|test)_(?:pub_)?(?=[a-f0-9]{31,35}\b)", r"[a-f0-9]{31,35}", least=31),
    _token("wise-or-gocardless-token", r"(?:live|sandbox)_(?=[\w-]{40})", rf"{_W}{{40}}", least=40),
    # ── models ──
    _token("anthropic-key", r"sk-ant-(?:api|admin|oat|sid)\d\d-", rf"{_W}{{40,120}}"),
    _token("openai-key", r"sk-(?:proj|svcacct|admin|None|service)-", rf"{_W}{{32,200}}"),
    _token("openrouter-key", r"sk-or-(?:v\d-)?", r"[A-Za-z0-9-]{40,80}"),
    _token("api-key-sk", r"sk-", rf"{_A}{{32,64}}", least=32),
    _token("huggingface-token", r"(?:hf|api_org)_", rf"{_A}{{30,40}}", least=30),
    _token("replicate-token", r"r8_", rf"{_A}{{37,40}}", least=30),
    _token("groq-key", r"gsk_", rf"{_A}{{40,60}}"),
    _token("xai-key", r"xai-", rf"{_A}{{60,90}}", least=40),
    _token("perplexity-key", r"pplx-", rf"{_A}{{40,60}}"),
    _token("nvidia-key", r"nvapi-", rf"{_W}{{60,70}}"),
    _token("tavily-key", r"tvly-(?:dev-|prod-)?", rf"{_A}{{20,40}}"),
    _token("firecrawl-key", r"fc-(?=[a-f0-9]{32}\b)", r"[a-f0-9]{32}", least=32),
    _token("elevenlabs-key", r"sk_(?=[a-f0-9]{48}\b)", r"[a-f0-9]{48}", least=48),
    _token("pinecone-key", r"pcsk_", rf"{_W}{{50,80}}"),
    _token("langsmith-key", r"lsv2_(?:pt|sk)_", r"[a-f0-9]{32}_[a-f0-9]{10}"),
    _token("wandb-key", r"(?i:wandb[\w -]{0,20}[:=]\s?['\"]?)", r"[a-f0-9]{40}"),
    _token("brave-key", r"BSA", rf"{_W}{{27,30}}", least=27),
    _token("apify-token", r"apify_api_", rf"{_A}{{30,44}}"),
    _token("jina-key", r"jina_", rf"{_W}{{50,70}}"),
    # ── work ──
    _token("notion-token", r"ntn_", rf"{_A}{{40,50}}"),
    _token("notion-secret", r"secret_(?=[A-Za-z0-9]{43}\b)", rf"{_A}{{43}}", least=43),
    _token("linear-key", r"lin_(?:api|oauth)_", rf"{_A}{{32,64}}"),
    _token("figma-token", r"fig(?:d|o|r)_", rf"{_W}{{36,64}}"),
    _token("airtable-pat", r"pat[A-Za-z0-9]{14}\.", r"[a-f0-9]{64}"),
    _token("asana-token", r"[12]/\d{12,17}(?:/\d{12,17})?:", r"[a-f0-9]{32}"),
    _token("dropbox-token", r"sl\.(?:u\.)?", rf"{_W}{{100,}}", least=60),
    _token("typeform-token", r"tfp_", r"[A-Za-z0-9_.=-]{40,60}"),
    _token("contentful-token", r"CFPAT-", rf"{_W}{{43}}"),
    _token("grafana-token", r"gl(?:c|sa)_", r"[A-Za-z0-9+/=_]{32,400}"),
    _token("sentry-token", r"sntry[su]_", r"[A-Za-z0-9+/=_]{40,400}"),
    _token("newrelic-key", r"NR(?:AK|II|AL|RA|JS|IQ)-", r"[A-Za-z0-9_-]{19,42}"),
    _token("dynatrace-token", r"dt0[a-z]\d\d\.", r"[A-Z0-9]{24}\.[A-Z0-9]{64}"),
    _token("honeycomb-key", r"hc[abx](?:ik|lk)_", r"[a-z0-9]{58}"),
    _token("posthog-key", r"ph[xs]_", rf"{_A}{{32,50}}"),
    _token("launchdarkly-key", r"(?:api|sdk|mob)-", rf"{_H}{{8}}-{_H}{{4}}-{_H}{{4}}-{_H}{{4}}-{_H}{{12}}", least=36),
    _token("hubspot-token", r"pat-(?:na|eu)\d-", rf"{_H}{{8}}-{_H}{{4}}-{_H}{{4}}-{_H}{{4}}-{_H}{{12}}"),
    _token("facebook-token", r"EAA[A-Za-z]", rf"{_A}{{80,}}", least=40),
    _token("instagram-token", r"IGQV", rf"{_W}{{80,}}", least=40),
    _token("twitter-bearer", r"A{20,22}", r"[A-Za-z0-9%]{50,100}", least=30),
    _token("maxmind-key", r"(?=[A-Za-z0-9]{6}_[A-Za-z0-9]{29}_mmk)", rf"{_A}{{6}}_{_A}{{29}}_mmk", least=29),
    _token("mapbox-secret", r"sk\.eyJ", rf"{_W}{{60,}}\.{_W}{{20,24}}", least=30),
    _token("yandex-key", r"(?:AQVN|y0_|t1\.9eu)", rf"(?:{_W}|\.){{35,200}}", least=30),
    _token("onepassword-service-token", r"ops_eyJ", rf"{_B}{{200,}}={{0,3}}", least=60),
    _token("onepassword-secret-key", r"A3-", r"[A-Z0-9]{6}-(?:[A-Z0-9]{11}|[A-Z0-9]{6}-[A-Z0-9]{5})-[A-Z0-9]{5}-[A-Z0-9]{5}-[A-Z0-9]{5}", least=20),
    _token("tailscale-key", r"tskey-(?:auth|api|client|scim|webhook)-", r"[A-Za-z0-9]{6,24}-[A-Za-z0-9]{20,40}"),
    _token("ngrok-key", r"(?:ngrok_|ak_|cr_)(?=2[A-Za-z0-9]{26})", r"2[A-Za-z0-9]{26}(?:_[A-Za-z0-9]{20,24})?", least=26),
    _token("adobe-secret", r"p8e-", r"[A-Za-z0-9]{32}"),
    _token("frameio-token", r"fio-u-", r"[A-Za-z0-9=_-]{64}"),
    _token("authress-key", r"(?:sc|ext|scauth|authress)_[a-z0-9]{5,30}\.[a-z0-9]{4,6}\.acc[_-][a-z0-9-]{10,32}\.", r"[A-Za-z0-9+/_=-]{30,120}"),
    _token("garrison-key", r"gsn_", rf"{_A}{{8}}_{_W}{{43}}"),
    # ── what anybody can make ──
    Kind("jwt", r"eyJ[A-Za-z0-9_-]{8,}\.eyJ", Late(r"(?<![\w-])(?P<s>eyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{16,})"), is_jwt),
    _whole("private-key", r"-----BEGIN [A-Z0-9 ]{0,30}PRIVATE KEY", r"(?P<s>-----BEGIN (?:[A-Z0-9]+ ){0,4}PRIVATE KEY(?: BLOCK)?-----(?:[A-Za-z0-9+/=\s:,\\.()-]|\\n){64,16000}?(?:-----END (?:[A-Z0-9]+ ){0,4}PRIVATE KEY(?: BLOCK)?-----|\Z|(?=[^A-Za-z0-9+/=\s:,\\.()-])))", lambda text: not re.search(r"\.\.\.|EXAMPLE|REDACTED", text) and len(set(text[40:400])) > 12),
    _whole("putty-key", r"PuTTY-User-Key-File-", r"(?P<s>PuTTY-User-Key-File-\d.{20,4000}?Private-MAC: [0-9a-f]+)", lambda text: True, re.DOTALL),
    _token("age-secret-key", r"AGE-SECRET-KEY-1", r"[QPZRY9X8GF2TVDW0S3JN54KHCE6MUA7L]{58}"),
    _whole("bitcoin-extended-key", r"[xyz]prv[A-Za-z0-9]{40}", r"(?<!\w)(?P<s>[xyz]prv[1-9A-HJ-NP-Za-km-z]{107,108})(?!\w)"),
    _whole("url-credentials", r"[a-z]://[^ \"@/]{0,80}:[^ \"@/]{3,}@", r"[A-Za-z][A-Za-z0-9+.-]{1,20}://[^\s/:@\"'<>]{0,80}:(?P<s>[^\s/@\"'<>]{3,160})@[\w.\[-]", is_userinfo),
    _whole("connection-password", r"(?i)(?:password|pwd)\s?=\s?[^;\s]{4}", r"(?i)(?:server|data source|host|uid|user id|username|user)\s?=[^;\"'\n]{1,120};(?:[^\n\"']{0,200};)?\s?(?:password|pwd)\s?=\s?(?P<s>[^;\s\"']{4,})", is_userinfo),
    _whole("authorization-header", r"(?i)(?:bearer|basic|token) [A-Za-z0-9+/=._~-]{16}", r"(?i:authorization[\"'\\]{0,3}\s?[:=]\s?[\"'\\]{0,3}(?:bearer|token|basic|apikey|bot)\s+|\bbearer\s+)(?P<s>[A-Za-z0-9+/=._~-]{16,})", lambda text: is_keyed_value(text) or (is_random(text) and len(text) > 24)),
    _whole("curl-credentials", r"curl ", r"\bcurl\b[^\n]{0,300}?\s(?:-u|--user)[ =]?[\"']?[\w.@-]{1,60}:(?P<s>[^\s\"':]{4,80})", is_userinfo),
    _whole("vendor-key", r"(?i)(?:key|token|secret|password|pat|auth|login|dsn)[\"'\\\]]{0,5} {0,3}(?:=>|:=|=|:|\||>)[ \"'\\]{0,6}[A-Za-z0-9_/+=.-]{15}", rf"(?i)(?:{_VENDORS})[\w .-]{{0,24}}(?:key|token|secret|password|pat|auth|login|dsn){_SEP}(?P<s>[A-Za-z0-9_/+=.-]{{15,200}})(?![\w/+=])", lambda text: is_keyed_value(text) or (bool(re.fullmatch(rf"{_H}{{8}}-(?:{_H}{{4}}-){{3}}{_H}{{12}}", text)) and is_random(text.replace("-", "")))),
    _whole("assigned-secret", r"(?i)(?:key|token|secret|apikey|credential)s?[\"'\\\]]{0,5} {0,3}(?:=>|:=|=|:|\||>)[ \"'\\]{0,6}[A-Za-z0-9_/+=.~-]{12}", rf"(?i){_KEYED}{_SEP}(?P<s>[A-Za-z0-9_/+=.~!@#$%^&*-]{{12,400}})", is_keyed_value),
    _whole("password", r"(?i)(?:passw(?:or)?d|passphrase|passcode|pwd|_pass)[\"'\\\]]{0,5} {0,3}(?:=>|:=|=|:|\||>|is)[ \"'\\]{1,6}[^ \"]{6}|(?i)(?:passw(?:or)?d|passphrase|passcode|pwd|_pass)[\"'\\]{0,3}[=:][^ \"]{6}", rf"(?i)(?<![A-Za-z])(?:[A-Za-z0-9]{{1,24}}[_ -]){{0,4}}(?:(?:pg|my|db|redis|ssh)?(?:password|passwd|passphrase|passcode|pwd)|(?<=_)pass){_SEP}(?P<s>[^\s\"'\\,;<>]{{6,128}})", is_password),
)  # fmt: skip
"""Issuers first: what several kinds can claim belongs to the first."""
