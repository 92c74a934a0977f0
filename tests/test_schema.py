import subprocess
import sys
from typing import Any

import pytest
from pydantic import ValidationError

from worldbench.scale import Scale
from worldbench.schema import (
    AdapterCard,
    Body,
    DataInfo,
    MetricResult,
    SuiteInfo,
    canonical_json,
    digest,
)


def card(**options: Any) -> AdapterCard:
    return AdapterCard(**{"name": "a", "revision": "r", "family": "baseline", **options})


def metric(**options: Any) -> MetricResult:
    return MetricResult(**{"name": "psnr", "higher_is_better": True, **options})


def suite(**options: Any) -> SuiteInfo:
    data = DataInfo(name="d", digest="dd", clips=4, clusters=2)
    fields = {"name": "s", "version": "1", "metric_versions": {"psnr": "1"}, "data": data}
    return SuiteInfo(**{**fields, "protocol": {"horizon": 12}, **options})


def body(**options: Any) -> Body:
    fields = {"status": "ok", "key": "k", "adapter": card(), "suite": suite()}
    return Body(**{**fields, "metrics": (metric(value=1.0),), **options})


@pytest.mark.parametrize("value", [None, float("nan"), float("inf"), -float("inf")])
def test_a_metric_that_is_ok_has_a_finite_value(value):
    with pytest.raises(ValidationError):
        metric(value=value)


@pytest.mark.parametrize("status", ["skipped", "failed"])
def test_a_metric_without_a_value_gives_its_reason(status):
    result = metric(status=status, reason="too few clips")
    assert result.value is None
    for wrong in ({}, {"reason": ""}, {"reason": "why", "value": 0.0}):
        with pytest.raises(ValidationError, match="no value, but a reason"):
            metric(status=status, **wrong)


def test_a_bound_that_is_not_finite_is_refused():
    with pytest.raises(ValidationError):
        metric(value=1.0, low=float("nan"))


@pytest.mark.parametrize(
    "fields",
    [
        {"value": 1.1e100},
        {"value": "1e308"},
        {"value": 0.0, "low": -1e308, "high": 1e308},
        {"value": 0.5, "factors": {"hidden": 10**400}},
        {"value": 0.5, "factors": {"hidden": 2**64}},
        {"value": 0.5, "factors": {"hidden": -1e308}},
    ],
)
def test_a_number_that_no_board_can_calculate_with_is_refused(fields):
    with pytest.raises(ValidationError, match="not within ±1e\\+100"):
        metric(**fields)


def test_numbers_of_cards_and_protocols_have_the_same_limits():
    for wrong in ({"parameters": 10**400}, {"fps": 1e308}, {"size": (64, 2**64)}):
        with pytest.raises(ValidationError, match="64 bits"):
            card(**wrong)
    for number in (float("nan"), float("inf"), 1e308, 10**400):
        with pytest.raises(ValidationError, match="protocol holds a number"):
            suite(protocol={"options": [{"sigma": number}]})
    assert suite(protocol={"seed": 2**64 - 1, "least": -(2**63), "width": 1e100}).protocol


def test_zero_and_negative_values_are_values():
    assert metric(value=0.0).value == 0
    assert metric(value=-0.01, low=-0.2, high=0.1).value == -0.01


def test_the_label_names_the_extractor():
    assert metric(value=1.0).label == "psnr"
    named = metric(name="frechet", value=1.0, factors={"extractor": "effnetlite0-dt-pca64"})
    assert named.label == "frechet[effnetlite0-dt-pca64]"


@pytest.mark.parametrize("name", ["a", "V-JEPA_2.1", "0model", "x" * 64])
def test_adapter_names_that_name_a_folder_are_accepted(name):
    assert card(name=name).name == name


@pytest.mark.parametrize(
    "name", ["", ".hidden", "..", "a/b", "a b", "-x", "x" * 65, "é", "a\n", "a\\b", "a:b"]
)
def test_adapter_names_that_are_no_folder_names_are_refused(name):
    with pytest.raises(ValidationError, match="it names a folder"):
        card(name=name)


@pytest.mark.parametrize("text", ["", ".", "..", ".x", "a/b", "a\\b", "a\n", "a\x1b[2J", "\u202ea"])
def test_what_becomes_part_of_a_path_leads_nowhere_else(text):
    for make in (
        lambda: card(revision=text),
        lambda: suite(name=text),
        lambda: suite(version=text),
        lambda: body(key=text),
    ):
        with pytest.raises(ValidationError, match="it is part of a record's path"):
            make()
    assert card(revision="seer 2 True").revision == "seer 2 True"


def test_cards_do_not_change_and_take_no_unknown_field():
    with pytest.raises(ValidationError, match="frozen"):
        card().name = "b"
    with pytest.raises(ValidationError, match="Extra inputs"):
        card(colour="red")


@pytest.mark.parametrize(
    ("options", "legal"),
    [
        ({}, [1, 2, 3, 4, 5, 6, 7, 8]),
        ({"min_context": 3}, [3, 4, 5, 6, 7, 8]),
        ({"min_context": 2, "max_context": 4}, [2, 3, 4]),
        ({"temporal_stride": 2}, [2, 4, 6, 8]),
        ({"temporal_stride": 2, "min_context": 3, "max_context": 7}, [4, 6]),
    ],
)
def test_legal_contexts_lie_on_the_temporal_grid_within_the_limits(options, legal):
    assert [c for c in range(9) if card(**options).legal_context(c)] == legal


def test_canonical_json_is_one_text_for_equal_values():
    text = canonical_json({"b": [1, (2, 3)], "a": {"é": None, "d": 0.1}})
    assert text == '{"a":{"d":0.1,"\\u00e9":null},"b":[1,[2,3]]}'
    assert canonical_json({"a": 1, "b": 2}) == canonical_json({"b": 2, "a": 1})


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {"a": [float("-inf")]}])
def test_canonical_json_has_no_nan(value):
    with pytest.raises(ValueError, match="not JSON compliant"):
        canonical_json(value)


def test_digests_are_the_published_sha256_of_the_canonical_text():
    assert digest([]) == "4f53cda18c2baa0c0354bb5f9a3ecbe5ed12ab4d8e11ba873c2f11161202b945"
    assert digest({"a": 1}) == "015abd7f5cc57a2dd94b7590f04ad8084273905ee33ec5cebeae62276a97f862"
    assert digest([1]) != digest(["1"])


def test_records_are_ok_with_metrics_or_explained():
    for wrong in ({"metrics": ()}, {"status": "skipped"}, {"status": "failed", "reason": ""}):
        with pytest.raises(ValidationError):
            body(**wrong)
    assert body(status="skipped", reason="no pixels", metrics=()).headline is None


def test_the_headline_is_the_first_metric_marked_so():
    one, two = metric(value=1.0), metric(name="frechet_inf", value=2.0, headline=True)
    assert body(metrics=(one, two)).headline == two


def test_the_board_key_does_not_depend_on_the_adapter_or_the_outcome():
    key = body().board_key
    other = card(name="b", revision="r2", family="generative", summary="another")
    assert body(adapter=other, key="k2", metrics=(metric(value=9.0),)).board_key == key
    moved = DataInfo(name="copy of d", digest="dd", clips=4, clusters=2)
    assert body(suite=suite(data=moved)).board_key == key


@pytest.mark.parametrize(
    "change",
    [
        {"name": "t"},
        {"version": "2"},
        {"metric_versions": {"psnr": "2"}},
        {"data": DataInfo(name="d", digest="ee", clips=4, clusters=2)},
        {"protocol": {"horizon": 8}},
    ],
)
def test_the_board_key_depends_on_everything_that_was_asked(change):
    assert body(suite=suite(**change)).board_key != body().board_key


def test_the_schema_is_imported_without_torch():
    code = "import sys, worldbench.schema; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    "told",
    [
        {"accuracy": {"floor": "half"}},
        {"accuracy": {"ceiling": "best"}},
        {"accuracy": {"floor": float("nan")}},
        {"accuracy": {"floor": -1e308, "ceiling": 1e308}},
        {"accuracy": {"ceiling": -(10**400)}},
        {"accuracy": {"roof": 1.0}},
        {"accuracy": 0.5},
        ["accuracy"],
    ],
)
def test_scales_that_cannot_be_read_are_refused(told):
    with pytest.raises(ValidationError):
        suite(protocol={"scales": told})


def test_scales_are_what_the_protocol_tells():
    told = {"accuracy": {"floor": ["copy_last", "still"], "ceiling": "oracle"}, "control": {}}
    scales = suite(protocol={"scales": told}).scales
    assert scales["accuracy"] == Scale(floor=("copy_last", "still"), ceiling="oracle")
    assert scales["control"] == Scale()
    assert suite().scales == {}
