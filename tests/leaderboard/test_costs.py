"""What the site says of costs, and scores drawn against them, through what is rendered."""

from site_pages import drawings, page, places, words

from worldbench.leaderboard import build

FLOPS = {"unit": "GFLOP", "higher_is_better": False}


def test_costs_are_shown_and_scores_drawn_against_them(rivals, make_result):
    assert "There is no record of the suite cost" in words(page(rivals.root, "models/dit-"))
    for name, cost in (("dit", 290.0), ("jepa", 38.0)):
        card = rivals.card(name, family="generative" if name == "dit" else "predictive")
        found = make_result("surprise_gflops", cost, None, **FLOPS)
        encode = make_result("encode_gflops", cost / 10, None, **FLOPS)
        skipped = make_result("predict_gflops", None, status="skipped", reason="no way", **FLOPS)
        rivals.add(card, (found, encode, skipped), suite="cost")
    told = words(page(rivals.root, "models/dit-"))
    assert "surprise_gflops (GFLOP) 290.0 worlds-quick, a quad of 4 + 12 frames" in told
    assert "encode_gflops (GFLOP) 29.00 worlds-quick, a clip of 16 frames" in told
    assert "no way" in page(rivals.root, "models/dit-")
    (figure,) = drawings(page(rivals.root, "duel"))
    assert places(figure)["jepa"] < places(figure)["dit"]
    assert "surprise_gflops" in figure


def add_cost(rivals, make_result, **prices):
    """Costs of the two schools: for each call, those of dit and jepa."""
    for i, (name, family) in enumerate((("dit", "generative"), ("jepa", "predictive"))):
        found = [make_result(f"{x}_gflops", both[i], None, **FLOPS) for x, both in prices.items()]
        rivals.add(rivals.card(name, family=family), tuple(found), suite="cost")


def add_probes(rivals, make_result, gflops):
    scores = {"dit": ("generative", 0.8), "jepa": ("predictive", 0.7)}
    for (name, (family, score)), cost in zip(scores.items(), gflops, strict=True):
        found = [make_result("top1", score, headline=True, factors={"probe": "attentive"})]
        found += [] if cost is None else [make_result("gflops", cost, None, **FLOPS)]
        card = rivals.card(name, family=family, training_data="clips of the procedural worlds")
        rivals.add(card, tuple(found), suite="probe")


def test_an_axis_tells_what_was_counted_and_where_and_claims_no_more(rivals, make_result):
    rivals.protocol = {"context": 3, "horizon": 7}
    add_cost(rivals, make_result, surprise=(290.0, 38.0), generate=(9.0, 8.0))
    key = next(s.key for s in build(rivals.root).sections if s.suite == "cost")
    (figure,) = drawings(page(rivals.root, "duel"))
    said = f"Operations of a quad of 3 + 7 frames, from cost@1 · worlds-quick ({key[:12]})."
    assert said in words(figure)
    assert "may be longer or shorter" in words(figure)
    lead = words(page(rivals.root, "suites/cost"))
    assert "other suites ask with lengths of their own" in lead


def test_an_axis_without_lengths_in_its_protocol_names_the_section_alone(rivals, make_result):
    rivals.protocol = {}
    add_cost(rivals, make_result, surprise=(290.0, 38.0))
    (figure,) = drawings(page(rivals.root, "duel"))
    assert "Operations, from cost@1 · worlds-quick (" in words(figure)


def test_costs_of_other_questions_have_axes_of_their_own(rivals, make_result):
    costs = {12: (290.0, 38.0), 24: (20.0, 640.0)}
    for horizon, both in costs.items():
        rivals.protocol = {"context": 4, "horizon": horizon}
        add_cost(rivals, make_result, surprise=both)
    figures = drawings(page(rivals.root, "duel"))
    found = {h: f for h in costs for f in figures if f"a quad of 4 + {h} frames" in words(f)}
    assert len(figures) == len(found) == 2
    assert places(found[12])["jepa"] < places(found[12])["dit"]
    assert places(found[24])["jepa"] > places(found[24])["dit"]


def test_scores_of_probes_are_drawn_against_what_their_own_records_count(rivals, make_result):
    add_cost(rivals, make_result, encode=(1.0, 100.0))
    add_probes(rivals, make_result, (4.0, 2.0))
    (figure,) = drawings(page(rivals.root, "duel"))
    assert places(figure)["jepa"] < places(figure)["dit"]
    assert "encode_gflops" not in figure
    assert "counted in the records of the scores, probe@1 · worlds-quick (" in words(figure)


def test_a_probe_that_counted_nothing_is_not_lent_the_cost_of_another_call(rivals, make_result):
    add_cost(rivals, make_result, encode=(1.0, 100.0))
    twin = rivals.card("twin")
    accuracy = make_result("top1", 0.2, headline=True, factors={"probe": "attentive"})
    cost = make_result("gflops", 3.0, None, **FLOPS)
    rivals.add(twin, (accuracy, cost), suite="probe")
    add_probes(rivals, make_result, (4.0, None))
    (figure,) = drawings(page(rivals.root, "suites/cost"))
    assert set(places(figure)) == {"dit", "twin"}
    assert "Without a cost above zero: jepa." in words(figure)


def test_probes_that_could_not_be_counted_are_drawn_against_no_other_call(rivals, make_result):
    add_cost(rivals, make_result, encode=(1.0, 100.0), generate=(9.0, 8.0))
    for name in ("dit", "jepa"):
        family = "generative" if name == "dit" else "predictive"
        accuracy = make_result("top1", 0.2, headline=True, factors={"probe": "attentive"})
        cost = make_result("gflops", None, status="skipped", reason="no such counter", **FLOPS)
        rivals.add(rivals.card(name, family=family), (accuracy, cost), suite="probe")
    assert drawings(page(rivals.root, "suites/cost")) == []


def test_scores_that_count_their_own_operations_need_no_record_of_costs(rivals, make_result):
    add_probes(rivals, make_result, (4.0, 2.0))
    (figure,) = drawings(page(rivals.root, "duel"))
    assert set(places(figure)) == {"dit", "jepa"}
