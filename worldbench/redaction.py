"""Taking secrets out of configs, command lines and messages before they are written anywhere."""

import os
import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet

from worldbench.errors import UsageError, WorldbenchError

REDACTED = "REDACTED"
"""Stands where a secret stood; plain letters, so that a shell need not quote it."""

_SECRET = r"(?:key|token|secret|passw|credential|signature|authorization)"
# Of option names, key and token count as the last word alone: keypoints and tokenizer are options.
_SECRET_NAME = re.compile(
    r"(?i:secret|passw|passphrase|credential|authorization)"
    r"|(?:^|[._\-/]|(?<=[a-z0-9])(?=[A-Z]))(?i:(?:api|access|auth)?[_-]?(?:key|token|signature))$"
)
_OPTION_NAME = re.compile(r"(?!.*api)[\w.-]*(?:key|token)[\w.-]*", re.IGNORECASE)
_SECRET_VARIABLE = re.compile(r"(?:KEY|TOKEN|SECRET|PASSWORD)$", re.IGNORECASE)
_API_KEY_NAME = re.compile(r"api[_-]?key(?:\.\d+)*$", re.IGNORECASE)
_VALUE = r"""(?:"[^"]*"|'[^']*'|[^\s,;&{}\[\]()"']+)"""
_ASSIGNED = re.compile(rf"(([\w.@/+~-]*{_SECRET}[\w.-]*)=)({_VALUE})", re.IGNORECASE)
_MAPPED = re.compile(
    rf"""([{{,]\s*["']?([\w.-]*{_SECRET}[\w.-]*)["']?\s*:\s*)({_VALUE})""", re.IGNORECASE
)
_USERINFO = re.compile(r"(\b[a-z][a-z0-9+.-]*://)[^\s/?#]+@", re.IGNORECASE)
_OVERRIDE = re.compile(rf"([+~-]*[\w.@/-]*{_SECRET}[\w.@/-]*=).*", re.IGNORECASE | re.DOTALL)
_REFERENCE = re.compile(r"\$\{[\w.:]+\}")
_NUMBERS = re.compile(r"[\d.,e+-]+")
_FLAG = re.compile(rf"--?[\w-]*{_SECRET}[\w-]*", re.IGNORECASE)


def redact(config: Mapping[str, object]) -> dict[str, object]:
    """Returns a copy of a config without its secrets, made of plain JSON types (others as text).

    A value goes, at any depth, if its key contains ``secret``, ``passw``, ``credential`` or
    ``authorization`` or its last word is ``key``, ``token`` or ``signature`` (``api_key``,
    ``hfToken``; not ``tokenizer``), in any case, unless it is None. Numbers under a plain ``key``
    or ``token`` stay: they are options and no secrets. Texts lose
    the same in ``name=value`` form, the user part of URLs, and the values of environment variables
    whose names end in KEY, TOKEN, SECRET or PASSWORD.
    """
    return {
        str(key): REDACTED if _hides(str(key), value) else _clean(value)
        for key, value in config.items()
    }


def _hides(name: str, value: object) -> bool:
    if value is None or not _SECRET_NAME.search(name):
        return False
    is_number = isinstance(value, bool | int | float)
    return not (is_number and _OPTION_NAME.fullmatch(name))


def redact_command(argv: Sequence[str]) -> str:
    """Returns a command line, quoted for a shell, without its secrets.

    Redacts ``foo.api_key=…``, ``--token=…``, ``--token …``, ``{api_key: …}``, the user part of URLs
    and whatever else :func:`redact` takes out of texts.
    """
    words: list[str] = []
    value_of_flag = False
    for word in argv:
        if value_of_flag and not word.startswith("-"):
            words.append(REDACTED)
        else:
            words.append(redact_text(word))
        value_of_flag = _FLAG.fullmatch(word) is not None
    return shlex.join(words)


def redact_text(text: str) -> str:
    """Returns a text, such as an error message, without its secrets; see :func:`redact`."""
    if override := _OVERRIDE.fullmatch(text):
        return override[1] + REDACTED
    text = _USERINFO.sub(rf"\1{REDACTED}@", text)
    text = _ASSIGNED.sub(rf"\1{REDACTED}", text)
    text = _MAPPED.sub(rf"\1{REDACTED}", text)
    for secret in _exported():
        text = text.replace(secret, REDACTED)
    return text


def _exported() -> list[str]:
    """Returns the values of environment variables that are secrets.

    Short values and paths are settings that happen to be called so; hiding them hides words.
    """
    return [
        value
        for name, value in os.environ.items()
        if len(value) >= 16 and not value.startswith("/") and _SECRET_VARIABLE.search(name)
    ]


def redact_error(error: WorldbenchError) -> WorldbenchError:
    """Returns an error to show in place of another: what went wrong and was seen, without secrets.

    What is accepted and the fix are our own words, and may show how to hand over a secret.
    """
    seen = None if error.seen is None else redact_text(str(error.seen))
    what = redact_text(error.what)
    return WorldbenchError(what, seen=seen, accepted=error.accepted, fix=error.fix)


def refuse_api_keys(config: Mapping[str, object]) -> None:
    """Checks that no key of a config, at any depth, hands over an API key.

    Raises:
        UsageError: Naming the first place of such a key, never its value.
    """
    for place, value in _leaves(config, ""):
        if _API_KEY_NAME.search(place) and value not in (None, REDACTED):
            raise UsageError(
                "a config carries an API key",
                seen=f"{place}={REDACTED}",
                accepted="keys in the environment only: configs are written to disk and to logs",
                fix="remove it, run `wandb login` or export WANDB_API_KEY instead, and replace the "
                "key if the config has been saved or shared",
            )


def refuse_secrets(overrides: Iterable[str]) -> None:
    """Checks that no override of a sweep hands over a secret: Hydra prints and saves all of them.

    Raises:
        UsageError: Naming the first option that does, never its value.
    """
    for override in overrides:
        name, _, value = override.lstrip("+~").partition("=")
        value = _REFERENCE.sub("", value)  # what ${oc.env:NAME} stands for is not written down
        within = [*_MAPPED.finditer(value), *_ASSIGNED.finditer(value)]
        given = [(name, value), *((match[2], match[3]) for match in within)]
        secret = next((option for option, text in given if _hands_over(option, text)), None)
        if _USERINFO.search(value) or any(exported in value for exported in _exported()):
            secret = secret or name
        if secret is not None:
            raise UsageError(
                "an override of a sweep carries a secret",
                seen=f"{secret}={REDACTED}",
                accepted="secrets in environment variables: overrides of a sweep are written to "
                "disk and to logs",
                fix="export it, e.g. as MY_SECRET, and write ${oc.env:MY_SECRET} in its place, in "
                "single quotes",
            )


def _hands_over(option: str, text: str) -> bool:
    text = text.strip("'\",")
    if text in ("", "null", "true", "false"):
        return False
    return _hides(option, 0 if _NUMBERS.fullmatch(text) else text)


def _clean(value: object) -> object:
    if isinstance(value, Mapping):
        return redact(value)
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, Sequence | AbstractSet) and not isinstance(value, str | bytes):
        return [_clean(item) for item in value]
    return redact_text(str(value))


def _leaves(value: object, place: str) -> Iterable[tuple[str, object]]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _leaves(item, f"{place}.{key}" if place else str(key))
    elif isinstance(value, Sequence) and not isinstance(value, str | bytes):
        for index, item in enumerate(value):
            yield from _leaves(item, f"{place}.{index}")
    else:
        yield place, value
