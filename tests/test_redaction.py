"""Secrets in errors and in the overrides of a sweep; the rest is in ``test_tracking``."""

import pytest

from worldbench.errors import DataError, UsageError
from worldbench.redaction import redact_error, refuse_secrets


@pytest.mark.parametrize(
    "override",
    [
        "adapter.huggingface_token=hf_hunter2",
        "adapter.huggingface_token=hf_hunter2,null",
        "++adapter.hfToken='hunter2'",
        "adapter.password=123456",
        "tracker.api_key=hunter2",
        "+adapter.options={seed:3,hf_token:hunter2}",
        "data.root=https://me:hunter2@host/videos",
        "data.root='https://host/videos?token=hunter2'",
        "adapter.weights=value-of-an-exported-variable",
    ],
)
def test_overrides_with_secrets_are_refused_without_repeating_them(
    override: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOME_HUB_TOKEN", "value-of-an-exported-variable")
    with pytest.raises(UsageError, match="carries a secret") as caught:
        refuse_secrets(["seed=0,1", override])
    said = str(caught.value)
    assert "hunter2" not in said
    assert "value-of" not in said
    assert "${oc.env:MY_SECRET}" in said


@pytest.mark.parametrize(
    "override",
    [
        "adapter.huggingface_token=${oc.env:HF_TOKEN}",
        "adapter.huggingface_token='${oc.env:HF_TOKEN}'",
        "adapter.huggingface_token=null",
        "+adapter.options={seed:3,hf_token:${oc.env:HF_TOKEN}}",
        "data.root=https://${oc.env:HOST_LOGIN}@host/videos",
        "adapter.mask_token=0,1,2",
        "suite.tokens=16,32",
        "adapter.tokenizer=small,large",
        "adapter.options={tokens: 16}",
        "data.root=https://host/videos@v2",
        "~adapter.hf_token",
    ],
)
def test_other_overrides_of_a_sweep_pass(override: str) -> None:
    refuse_secrets([override])


def test_an_error_loses_the_secrets_it_saw_and_keeps_its_fix() -> None:
    error = DataError(
        "https://me:hunter2@host cannot be read",
        seen=OSError("no such bucket, token=hunter2"),
        fix="adapter.hf_token='${oc.env:HF_TOKEN}'",
    )
    said = str(redact_error(error))
    assert "hunter2" not in said
    assert "no such bucket" in said
    assert "fix:      adapter.hf_token='${oc.env:HF_TOKEN}'" in said
