"""The patterns of keys, tokens and passwords with which programs authenticate."""

import re
from collections import Counter
from math import log2
from typing import Final

from tailrace_worker.shaping.guards.characters import character_after
from tailrace_worker.shaping.guards.rules import KNOWN_NEXT, Rule

_UUID: Final = "[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"

_KEYS: Final = (
    # Models and their hosts
    r"\bsk-[A-Za-z0-9_-]{20,}",  # OpenAI, Anthropic, and others that follow them
    r"\b(?:gsk_|xai-|pplx-|csk-|fw_|r8_|hf_)[A-Za-z0-9]{20,}",  # Groq, xAI, Perplexity, Cerebras, Fireworks …
    r"\b(?:nvapi-|tgp_v1_)[A-Za-z0-9_-]{20,}",  # Nvidia, Together
    # Clouds
    r"\b(?:A3T[A-Z0-9]|AKIA|ASIA|ABIA|ACCA)[A-Z0-9]{16}",  # AWS
    r"\b(?:AIza[A-Za-z0-9_-]{35}|ya29\.[A-Za-z0-9_-]{20,}|GOCSPX-[A-Za-z0-9_-]{28})",  # Google
    r"\b[A-Za-z0-9_~.-]{3}[0-9]Q~[A-Za-z0-9_~.-]{31,34}",  # Microsoft Entra
    r"\b[A-Za-z0-9]{52}JQQJ99[A-Za-z0-9]{26}",  # Azure OpenAI and its siblings
    r"\b[A-Za-z0-9]{76}AZDO[A-Za-z0-9]{4}",  # Azure DevOps
    r"\bLTAI[A-Za-z0-9]{20}",  # Alibaba
    r"\bdo[opr]_v1_[a-f0-9]{64}",  # DigitalOcean
    r"\bv1\.0-[a-f0-9]{24}-[a-f0-9]{100,}",  # Cloudflare
    r"\b(?:fo1_[A-Za-z0-9_-]{43}|fm(?:1[ar]|2)_[A-Za-z0-9+/]{60,}=*)",  # Fly.io
    r"\b(?:dapi[a-f0-9]{32}|pul-[a-f0-9]{40})",  # Databricks, Pulumi
    r"\bpscale_(?:tkn|oauth|pw)_[A-Za-z0-9_=.-]{32,64}",
    r"\b(?:hv[bsr]\.[A-Za-z0-9_-]{24,}|[A-Za-z0-9]{14}\.atlasv1\.[A-Za-z0-9_=-]{60,70})",  # HashiCorp
    r"\b(?:tk-us-[A-Za-z0-9_-]{48}|HRKU-[A-Za-z0-9_-]{20,}|AQVN[A-Za-z0-9_-]{35,38})",  # Scalingo, Heroku, Yandex
    # Source code, packages and builds
    r"\b(?:gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{22,})",
    r"\b(?:gl(?:pat|ptt|dt|rt|ft|soat|cbt|imt|agent|oas|ffct)-|GR1348941)[A-Za-z0-9_.-]{20,}",
    r"\b(?:npm_[A-Za-z0-9]{36}|pypi-[A-Za-z0-9_-]{50,}|rubygems_[a-f0-9]{48}|CLOJARS_[A-Za-z0-9]{60}|oy2[a-z0-9]{43})",
    r"\b(?:AKC[A-Za-z0-9]{10,}|AP(?:[0-9][A-Za-z0-9]|[A-F][a-z0-9])[A-Za-z0-9]{7,}|cmVmd[A-Za-z0-9]{59})",  # JFrog
    r"\b(?:sgp_[A-Za-z0-9_]{40,}|PMAK-[a-f0-9]{24}-[a-f0-9]{34}|API-[A-Z0-9]{26}|pnu_[A-Za-z0-9]{36})",
    r"\bATATT3[A-Za-z0-9_=-]{60,}",  # Atlassian
    r"\b(?:sntry[su]_[A-Za-z0-9+/=_]{40,}|gl(?:c|sa)_[A-Za-z0-9+/=_]{32,}|NR(?:AK|II|JS)-[A-Za-z0-9-]{19,})",
    r"\b(?:dt0c01\.[A-Za-z0-9]{24}\.[A-Za-z0-9]{64}|dp\.[a-z]{2,5}\.[A-Za-z0-9]{40,}|ops_eyJ[A-Za-z0-9+/]{60,}=*)",
    r"\b(?:sha256~[A-Za-z0-9_-]{43}|A3(?:-[A-Z0-9]{5,11}){4,6}\b|AGE-SECRET-KEY-1[0-9A-Z]{58})",
    # Messages
    r"\b(?:xox[a-z](?:\.xox[bp])?-[A-Za-z0-9-]{10,}|xapp-[A-Za-z0-9-]{10,})",  # Slack
    r"\bhttps://hooks\.slack\.com/(?:services|workflows|triggers)/[A-Za-z0-9+/_]{20,}",
    r"\b(?:bot)?[0-9]{8,10}:[A-Za-z0-9_-]{35}",  # Telegram
    r"\b[MNO][A-Za-z0-9_-]{23,25}\.[A-Za-z0-9_-]{6}\.[A-Za-z0-9_-]{27,38}",  # Discord
    r"\bhttps://(?:[a-z]+\.)?discord(?:app)?\.com/api/(?:v[0-9]+/)?webhooks/[0-9]{17,20}/[A-Za-z0-9_-]{60,}",
    rf"\bhttps://[a-z0-9]+\.webhook\.office\.com/webhookb2/{_UUID}@{_UUID}/IncomingWebhook/[a-z0-9]{{32}}/{_UUID}",
    r"\b(?:AC|SK)[a-z0-9]{32}",  # Twilio
    r"\bSG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}",  # SendGrid
    r"\b(?:[0-9a-f]{32}-us[0-9]{1,2}|(?:pub)?key-[0-9a-f]{32}|[0-9a-f]{32}-[0-9a-f]{8}-[0-9a-f]{8})\b",  # Mailchimp …
    r"\bxkeysib-[a-f0-9]{64}-[A-Za-z0-9]{16}",
    # Payments, shops, and the rest
    r"\b(?:[rs]k_(?:live|test|prod)_[A-Za-z0-9]{10,}|whsec_[A-Za-z0-9+/=]{16,})",  # Stripe
    r"\b(?:sq0(?:csp|atp|idp)-[A-Za-z0-9\\_-]{22,}|EAAA[A-Za-z0-9_-]{50,})",  # Square
    r"\bEAA[MC][A-Za-z0-9]{80,}",  # Facebook
    r"\bshp(?:at|ca|pa|ss)_[A-Fa-f0-9]{32}",
    r"\b(?:shippo_(?:live|test)_[a-f0-9]{40}|duffel_(?:live|test)_[A-Za-z0-9_=-]{43}|EZ[AT]K[A-Za-z0-9]{54})",
    r"\b(?:FLWSECK(?:_TEST)?-[a-zA-Z0-9]{12,}(?:-X)?|access-(?:sandbox|development|production)-[0-9a-f-]{36})",
    r"\b(?:lin_api_[A-Za-z0-9]{40}|ntn_[A-Za-z0-9]{43,}|secret_[A-Za-z0-9]{43}|rdme_[a-z0-9]{70}|pat[A-Za-z0-9]{14}\.[a-f0-9]{64})",
    r"\b(?:tfp_[A-Za-z0-9_.=-]{59}|fio-u-[A-Za-z0-9_=-]{64}|p8e-[A-Za-z0-9]{32}|dnkey-[A-Za-z0-9_=-]{70,}|sm_[aps]at_[A-Za-z0-9]{16})",
    r"\b(?:[A-Za-z0-9]{6}_[A-Za-z0-9]{29}_mmk|4b1d[A-Za-z0-9]{38})\b",
    # Not of a single vendor
    r"\beyJ[A-Za-z0-9_-]{8,}=*\.[A-Za-z0-9_-]{8,}(?:\.{1,2}[A-Za-z0-9_-]+){0,3}",  # a JSON Web Token
    (
        r"-{4,5} ?BEGIN [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)? ?-{4,5}"
        r"(?:[A-Za-z0-9+/=:,\s\\]|-[A-Za-z0-9])*(?:-{4,5} ?END [A-Z0-9 ]*-{4,5})?"
    ),
    r"\bPuTTY-User-Key-File-[0-9](?:[A-Za-z0-9+/=:,.@_\s-]*Private-(?:MAC|Hash): [0-9a-f]+)?",
)

_IN_URL: Final = r"://[A-Za-z0-9!%&*+,.;=_~-]*:[A-Za-z0-9!%&*+,.;=_~^?#-]+@"

_SETTING: Final = r"(?:AccountKey|SharedAccessKey|SharedAccessSignature|[?&]sig|:_auth|:_authToken|:_password)"
_IN_SETTING: Final = rf"{_SETTING}= ?[\"']?[A-Za-z0-9%+/_-]{{6,}}={{0,2}}"

_OWNED: Final = (
    "api|access|account|admin|app|auth|aws|azure|cl|client|clou|cloud|cloudant|deploy|encryption|iam|ibm|license|master"
    "|private|secret|service|shared|signing|sl|softlayer|storage|subscription"
)
_NAME: Final = (
    rf"(?:{_OWNED})[ _.-]?key|secret|token|passw(?:or)?d|passphrase|credentials?|authorization"
    r"|(?:\b|[_-])(?:pass|pwd|pw)"
)
_IS: Final = r"(?:\\?[\"'`]|\])* {0,3}(?:::|:?=>?| |:) {0,3}(?:\\?[\"'`])?(?:(?:bearer|basic|token|bot) )?"
_NAMED: Final = rf"(?i:(?:{_NAME}){_IS})[A-Za-z0-9_/+~-]{{16,}}={{0,2}}{KNOWN_NEXT}"
_UP_TO_VALUE: Final = re.compile(rb".*[=:>\"'` ](?=[\w/+~-])", re.DOTALL)
_NO_END: Final = re.compile(r"[\w/+~=([{@-]", re.ASCII)
"""A character that, after a value, means that the value goes on or that it is code."""
_FEWEST_BITS: Final = 3.0
"""The least entropy per character of a value that looks random."""


def _is_random(text: bytes, start: int, end: int) -> bool:
    if _NO_END.match(character_after(text, end)):
        return False
    value = _UP_TO_VALUE.sub(b"", text[start:end]).rstrip(b"=")
    if not re.search(rb"[0-9]", value) or not re.search(rb"[A-Za-z]", value):
        return False
    shares = [count / len(value) for count in Counter(value).values()]
    return -sum(share * log2(share) for share in shares) >= _FEWEST_BITS


SECRETS: Final = (
    Rule("secret", _KEYS),
    Rule("secret", [_NAMED], _is_random, lead=_UP_TO_VALUE),
    Rule("secret", [_IN_SETTING], lead=re.compile(rb"[^=]*= ?[\"']?")),
    Rule("secret", [_IN_URL], lead=re.compile(rb"://")),
)
"""The rules for the kind `secret`. A secret's name, which is the `lead` of its match, stays visible."""
